"""Which clips share a batch: those of similar length, or several of several speakers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lowser_lib.errors import require

#: A gender in a manifest that balancing cannot use.
UNKNOWN = "unknown"


class SpeakerBatchSampler:
    """Batches of so many speakers with so many clips each: P × K, by default 16 × 4.

    Every batch is full, its speakers differ, and its clips differ. A speaker's clips are dealt out
    in shuffled *turns*: within a turn no clip comes twice. What does not fill up the last group of
    a turn waits for the next; who waits rotates, so that two turns hold every clip of the speaker.
    The speakers' groups are themselves dealt out in turns, and an epoch takes as many of them as
    fill its batches. So over some epochs every clip is used, and none much more than its
    speaker's others.

    An epoch has as many batches as can be filled without asking a speaker for more groups than one
    turn has. A speaker is in a batch once at most, so one who has far more clips than the others is
    heard over several epochs. With ``genders``, the gender with more to say sets an epoch's length;
    the speakers of the other are heard repeatedly.

    In a batch the clips of one speaker stand together.

    Attributes:
        left_out: why a speaker is in no batch, by speaker; also told by one warning.
    """

    def __init__(
        self,
        speakers: Sequence[str] | Sequence[int] | np.ndarray | pd.Series,
        generator: torch.Generator,
        *,
        speakers_per_batch: int = 16,
        clips_per_speaker: int = 4,
        genders: Sequence[str] | np.ndarray | pd.Series | None = None,
    ) -> None:
        """Sort the clips by speaker, and see how many batches they make.

        Args:
            speakers: ``(N,)``, who speaks in each clip; as the manifest's column.
            generator: one number is drawn from it, the seed of all epochs.
            speakers_per_batch: different speakers in a batch; 16 in Gong et al. 2025 (arXiv
                2506.02059).
            clips_per_speaker: clips of each of them; 4 in the same paper.
            genders: ``(N,)``, as the manifest's column: the two (or more) genders get equally many
                speakers in each batch, and speakers of gender ``unknown`` are left out. None: no
                balance.

        Raises:
            ValueError: a number is out of range or cannot be shared evenly, a clip has no speaker,
                a speaker has two genders, or too few speakers have enough clips.
        """
        self.seed, self.epoch = draw_seed(generator), 0
        require("1..", speakers_per_batch=speakers_per_batch)
        require("1..", clips_per_speaker=clips_per_speaker)
        self.speakers_per_batch, self.clips_per_speaker = speakers_per_batch, clips_per_speaker
        codes, values = pd.factorize(_as_column(speakers, "speakers"), sort=True)
        names = values.tolist()
        #: Indices of each speaker's clips, speakers in the order of their names.
        ends = np.bincount(codes).cumsum()
        self.clips = np.split(np.argsort(codes, kind="stable"), ends)[:-1]
        gender = _gender_of_speakers(genders, codes, names)

        self.left_out: dict[Any, str] = {}
        for name, clips, known in zip(names, self.clips, gender, strict=True):
            if len(clips) < clips_per_speaker:
                self.left_out[name] = f"{len(clips)} of the {clips_per_speaker} clips that it takes"
            elif genders is not None and known == UNKNOWN:
                self.left_out[name] = "of unknown gender, where genders are balanced"
        if self.left_out:
            warnings.warn(_report(self.left_out, len(names)), stacklevel=2)
        kept = np.array([name not in self.left_out for name in names], dtype=bool)
        members = [np.flatnonzero(kept & (gender == name)) for name in sorted(set(gender[kept]))]
        self._batches, self._pools = self._plan(members or [np.flatnonzero(kept)], genders)

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng(derive_seed(self.seed, self.epoch))
        parts = [self._deal(pool, random) for pool in self._pools]
        for batch in zip(*parts, strict=True):
            yield np.concatenate(batch).ravel().tolist()  # of (speakers, clips)

    def _plan(self, members: list[np.ndarray], genders: Any) -> tuple[int, list[_Pool]]:
        """Batches an epoch, and the speakers to draw from: all in one pool, or one a gender."""
        if genders is not None and len(members) < 2:
            raise ValueError(
                "genders must name at least two genders whose speakers have "
                f"{self.clips_per_speaker} clips or more; leave genders out to do without balance"
            )
        if self.speakers_per_batch % len(members):
            raise ValueError(
                f"speakers_per_batch {self.speakers_per_batch} cannot be shared evenly by "
                f"{len(members)} genders"
            )
        places = self.speakers_per_batch // len(members)
        fewest = min(map(len, members))
        if fewest < places:
            of = "of one gender " if genders is not None else ""
            raise ValueError(
                f"each batch needs {places} speakers {of}with at least {self.clips_per_speaker} "
                f"clips, but there are {fewest}; lower speakers_per_batch or clips_per_speaker"
            )
        groups = [np.array([self._groups(code) for code in codes]) for codes in members]
        batches = max(_most_batches(counts, places) for counts in groups)
        pools = [
            _Pool(codes, _slots(counts, places, batches), places)
            for codes, counts in zip(members, groups, strict=True)
        ]
        return batches, pools

    def _groups(self, code: int) -> int:
        """Whole groups that a speaker's clips make."""
        return len(self.clips[code]) // self.clips_per_speaker

    def _deal(self, pool: _Pool, random: np.random.Generator) -> Iterator[np.ndarray]:
        """Groups ``(places, clips_per_speaker)`` of a pool's speakers, a batch at a time."""
        taken = pool.places * self._batches
        before = _times_taken(pool.slots, self.epoch * taken, len(pool.codes))
        times = _times_taken(pool.slots, (self.epoch + 1) * taken, len(pool.codes)) - before
        groups = [
            iter(self._stream(code, first, count))
            for code, first, count in zip(pool.codes, before, times, strict=True)
        ]
        # Nobody comes more often than there are batches. So if each speaker's places stand in one
        # run, and places go to batches in rotation, nobody comes twice into the same batch.
        order = random.permutation(len(pool.codes))
        table = np.repeat(order, times[order]).reshape(pool.places, self._batches)
        for batch in random.permutation(self._batches):
            yield np.stack([next(groups[speaker]) for speaker in table[:, batch]])

    def _stream(self, code: int, first: int, count: int) -> np.ndarray:
        """Groups ``first`` to ``first + count`` of all that a speaker is ever asked for."""
        size = self._groups(code)
        turns = range(first // size, -(-(first + count) // size))
        if not turns:
            return np.empty((0, self.clips_per_speaker), dtype=np.int64)
        dealt = np.concatenate([self._turn(code, turn) for turn in turns])
        return dealt[first - turns.start * size :][:count]

    def _turn(self, code: int, turn: int) -> np.ndarray:
        """A speaker's clips, shuffled and cut into groups; a rotating few have to wait."""
        clips = self.clips[code]
        waiting = len(clips) % self.clips_per_speaker
        rest = np.delete(clips, (turn * waiting + np.arange(waiting)) % len(clips))
        # The last number is above 0: a seed (a, b, 0) would be the seed (a, b) of an epoch.
        random = np.random.default_rng(derive_seed(self.seed, turn, code + 1))
        return random.permutation(rest).reshape(-1, self.clips_per_speaker)


class _Pool(NamedTuple):
    """Speakers who fill the same places of every batch.

    Attributes:
        codes: ``(S,)``, the speakers.
        slots: ``(T,)``, places in ``codes``: who gives the next group, again and again from the
            start. Nobody comes more often than an epoch has batches.
        places: speakers of this pool in a batch.
    """

    codes: np.ndarray
    slots: np.ndarray
    places: int


def _most_batches(groups: np.ndarray, places: int) -> int:
    """Largest number of batches, with each speaker in each once at most, that groups suffice for.

    A speaker gives a group to each batch until there are none left, so every further batch gains
    less. Hence enough for a number is enough for all below it; and one batch can always be made.
    """
    low, high = 1, int(groups.sum()) // places
    while low < high:
        middle = (low + high + 1) // 2
        enough = np.minimum(groups, middle).sum() >= places * middle
        low, high = (middle, high) if enough else (low, middle - 1)
    return low


def _slots(groups: np.ndarray, places: int, batches: int) -> np.ndarray:
    """Order in which speakers give their groups: everybody's first, everybody's second, and so on.

    Who has more groups than there are batches gives ``batches`` of them. Where all together are too
    few to fill an epoch's places (the smaller gender), each is asked several times over.
    """
    times = 1
    while np.minimum(times * groups, batches).sum() < places * batches:
        times += 1
    shares = np.minimum(times * groups, batches)
    return np.concatenate([np.flatnonzero(shares > level) for level in range(shares.max())])


def _times_taken(slots: np.ndarray, end: int, speakers: int) -> np.ndarray:
    """How often each speaker ``(S,)`` is among the first ``end`` of slots that repeat forever."""
    turns, rest = divmod(end, len(slots))
    whole = np.bincount(slots, minlength=speakers)
    return turns * whole + np.bincount(slots[:rest], minlength=speakers)


def _as_column(values: Any, name: str) -> np.ndarray:
    """Values ``(N,)``, none of them missing."""
    column = np.asarray(values)
    if column.ndim != 1:
        raise ValueError(f"{name} must have shape (clips,), not {column.shape}")
    missing = np.flatnonzero(pd.isna(column))
    if len(missing):
        raise ValueError(f"{name}[{missing[0]}] is missing; {len(missing)} are")
    return column


def _gender_of_speakers(genders: Any, codes: np.ndarray, names: list[Any]) -> np.ndarray:
    """Gender of each speaker ``(S,)``; all the same where none are given."""
    if genders is None:
        return np.full(len(names), "")
    column = _as_column(genders, "genders")
    if column.shape != codes.shape:
        raise ValueError(f"genders must have shape {codes.shape}, not {column.shape}")
    pairs = pd.DataFrame({"code": codes, "gender": column}).drop_duplicates().sort_values("code")
    for code in pairs["code"][pairs["code"].duplicated()]:
        both = sorted(map(str, pairs["gender"][pairs["code"] == code]))
        raise ValueError(f"speaker {names[code]!r} has more than one gender: {', '.join(both)}")
    return pairs["gender"].to_numpy(dtype=str)


def _report(left_out: dict[Any, str], speakers: int) -> str:
    """One sentence on who is left out."""
    shown = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:5])
    more = f"; and {len(left_out) - 5} more" if len(left_out) > 5 else ""
    return f"{len(left_out)} of {speakers} speakers are in no batch ({shown}{more})"


class LengthBucketSampler:
    """Batches of clips of similar length: little padding, and every clip once an epoch.

    An epoch's shuffled clips are cut into pools of several batches; each pool is sorted by length
    and cut into batches, and the batches are shuffled. A larger pool means less padding; a smaller
    one, more variety in who shares a batch.

    Batches differ in size by one clip at most: no step is left to a single clip.

    With ``cells`` an epoch is as long as ever, but each cell has the same number of places in it,
    give or take one: where a cell has fewer clips they come several times over, where it has more,
    others are left out in every epoch.
    """

    def __init__(
        self,
        lengths: Tensor | np.ndarray | Sequence[int],
        batch_size: int,
        generator: torch.Generator,
        *,
        pool: int = 8,
        cells: Tensor | np.ndarray | Sequence[int] | None = None,
    ) -> None:
        """Draw the sampler's seed; the order itself is drawn anew for each epoch.

        Args:
            lengths: ``(N,)``, length of each clip, in any unit.
            batch_size: most clips a batch.
            generator: one number is drawn from it, the seed of all epochs.
            pool: batches that are sorted together. Our choice of 8: on speech of 0.5 to 12 s it
                leaves about a tenth of a batch as padding, against half without sorting.
            cells: ``(N,)``, what is to be heard equally often, such as a gender's clips of an
                emotion, as numbers from 0; clips of cell -1 come once an epoch, as all do without
                ``cells``.

        Raises:
            ValueError: a number is out of range, or there is not one cell a clip.
        """
        self.lengths = np.asarray(lengths, dtype=np.int64)
        if self.lengths.ndim != 1:
            raise ValueError(f"lengths must have shape (clips,), not {self.lengths.shape}")
        require("1..", batch_size=batch_size, pool=pool)
        self.seed, self.epoch = draw_seed(generator), 0
        self.batch_size, self.pool = batch_size, pool
        self.cells = None if cells is None else np.asarray(cells, dtype=np.int64)
        if self.cells is not None and self.cells.shape != self.lengths.shape:
            raise ValueError(f"cells must have shape {self.lengths.shape}, not {self.cells.shape}")

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        if not len(self):
            return
        random = np.random.default_rng(derive_seed(self.seed, self.epoch))
        if self.cells is None or (self.cells < 0).all():
            order = random.permutation(len(self.lengths))
        else:
            order = _balanced(self.cells, random)
        batches = np.array_split(order, len(self))
        for start in range(0, len(batches), self.pool):
            group = batches[start : start + self.pool]
            clips = np.concatenate(group)
            # Stable: clips of equal length stay in their shuffled order.
            clips = clips[np.argsort(self.lengths[clips], kind="stable")]
            cuts = np.cumsum([len(batch) for batch in group])[:-1]
            batches[start : start + self.pool] = np.split(clips, cuts)
        for index in random.permutation(len(batches)):
            yield batches[index].tolist()


def _balanced(cells: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """An epoch's clips, shuffled, with equally many places for each cell."""
    once = np.flatnonzero(cells < 0)
    members = [np.flatnonzero(cells == cell) for cell in np.unique(cells) if cell >= 0]
    places = np.full(len(members), (len(cells) - len(once)) // len(members))
    spare = len(cells) - len(once) - places.sum()
    places[random.permutation(len(members))[:spare]] += 1
    # np.resize takes the shuffled clips from the start again where they do not suffice.
    drawn = [
        np.resize(random.permutation(clips), count)
        for clips, count in zip(members, places, strict=True)
    ]
    return random.permutation(np.concatenate([once, *drawn]))


class Sampler(Protocol):
    """Yields lists of clip indices, one a batch.

    Attributes:
        epoch: from 0, to be set; the next iteration follows its order.
    """

    epoch: int

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[int]]: ...


class Loader(Protocol):
    """Yields batches, as :class:`torch.utils.data.DataLoader` does."""

    @property
    def batch_sampler(self) -> Any:
        """The :class:`Sampler` that says which clips share a batch."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


def draw_seed(generator: torch.Generator) -> int:
    """Draw one number below 2**63 - 1 from a generator on the CPU, to seed others with."""
    return int(torch.randint(2**63 - 1, (), generator=generator))


def derive_seed(*parts: int) -> int:
    """Mix numbers that are at least 0 into one seed below 2**63.

    Neighbouring seeds give related streams in some generators; NumPy's ``SeedSequence`` mixes its
    input so that ``(0, 1)`` and ``(1, 0)`` have nothing in common.
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
