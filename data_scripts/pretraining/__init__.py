"""The speech on which the shipped encoders are pre-trained: sentences, voices, channels, stream."""
