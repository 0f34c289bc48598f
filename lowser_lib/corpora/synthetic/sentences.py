"""What the synthetic speakers say: plain, emotionally neutral sentences in four languages.

Acted corpora let every emotion speak the same few sentences, so that words cannot give the emotion
away (Burkhardt et al. 2005, EmoDB). The labelled parts do the same with ten sentences a language;
the unlabelled part says twelve others, as read speech does. The texts of one number mean the same
in all four languages. Final marks are left out: :mod:`.prosody` chooses them.
"""

from __future__ import annotations

from dataclasses import dataclass

LANGUAGES = ("en", "ur", "de", "bn")


@dataclass(frozen=True)
class Sentence:
    """One sentence: its id, unique over all languages, and its text without a final mark."""

    text_id: str
    text: str


_LABELLED = {
    "en": (
        "The letter is on the kitchen table",
        "We will meet at the station at noon",
        "She put the blue cup on the shelf",
        "The bus stops in front of the school",
        "He is coming back on Wednesday",
        "The window opens to the garden",
        "The chairs are in the other room now",
        "I saw your brother at the market",
        "The paper lies beside the lamp",
        "It takes about an hour to get there",
    ),
    "ur": (
        "خط باورچی خانے کی میز پر ہے",
        "ہم دوپہر کو اسٹیشن پر ملیں گے",
        "اس نے نیلا پیالہ الماری میں رکھا",
        "بس اسکول کے سامنے رکتی ہے",
        "وہ بدھ کے دن واپس آئے گا",
        "کھڑکی باغ کی طرف کھلتی ہے",
        "کرسیاں اب دوسرے کمرے میں ہیں",
        "میں نے آپ کے بھائی کو بازار میں دیکھا",
        "اخبار چراغ کے پاس پڑا ہے",
        "وہاں جانے میں ایک گھنٹہ لگتا ہے",
    ),
    "de": (
        "Der Brief liegt auf dem Küchentisch",
        "Wir treffen uns mittags am Bahnhof",
        "Sie stellt die blaue Tasse ins Regal",
        "Der Bus hält vor der Schule",
        "Am Mittwoch kommt er wieder zurück",
        "Das Fenster geht zum Garten hinaus",
        "Die Stühle stehen jetzt im Nebenzimmer",
        "Ich habe deinen Bruder auf dem Markt gesehen",
        "Die Zeitung liegt neben der Lampe",
        "Man braucht ungefähr eine Stunde dorthin",
    ),
    "bn": (
        "চিঠিটা রান্নাঘরের টেবিলে আছে",
        "আমরা দুপুরে স্টেশনে দেখা করব",
        "সে নীল কাপটা তাকে রাখল",
        "বাসটা স্কুলের সামনে থামে",
        "সে বুধবার ফিরে আসবে",
        "জানালাটা বাগানের দিকে খোলে",
        "চেয়ারগুলো এখন পাশের ঘরে আছে",
        "আমি তোমার ভাইকে বাজারে দেখেছি",
        "খবরের কাগজটা বাতির পাশে আছে",
        "সেখানে যেতে এক ঘণ্টা লাগে",
    ),
}

_UNLABELLED = {
    "en": (
        "The river runs past the old mill",
        "Please write your name on the first page",
        "The shop opens at half past eight",
        "There are four apples in the basket",
        "My uncle works in a small office",
        "The road goes over the hill",
        "We had rice and vegetables for dinner",
        "The children walk to school together",
        "A new library was built last year",
        "The picture hangs above the door",
        "You can buy tickets at the counter",
        "The boat crosses the lake every morning",
    ),
    "ur": (
        "دریا پرانی چکی کے پاس سے گزرتا ہے",
        "پہلے صفحے پر اپنا نام لکھیں",
        "دکان ساڑھے آٹھ بجے کھلتی ہے",
        "ٹوکری میں چار سیب ہیں",
        "میرے چچا ایک چھوٹے دفتر میں کام کرتے ہیں",
        "سڑک پہاڑی کے اوپر سے جاتی ہے",
        "رات کے کھانے میں چاول اور سبزی تھی",
        "بچے ساتھ مل کر اسکول جاتے ہیں",
        "پچھلے سال ایک نئی لائبریری بنی",
        "تصویر دروازے کے اوپر لگی ہے",
        "ٹکٹ کھڑکی پر ملتے ہیں",
        "کشتی ہر صبح جھیل پار کرتی ہے",
    ),
    "de": (
        "Der Fluss fließt an der alten Mühle vorbei",
        "Schreiben Sie bitte Ihren Namen auf die erste Seite",
        "Das Geschäft öffnet um halb neun",
        "Im Korb liegen vier Äpfel",
        "Mein Onkel arbeitet in einem kleinen Büro",
        "Die Straße führt über den Hügel",
        "Zum Abendessen gab es Reis mit Gemüse",
        "Die Kinder gehen zusammen zur Schule",
        "Letztes Jahr wurde eine neue Bibliothek gebaut",
        "Das Bild hängt über der Tür",
        "Fahrkarten gibt es am Schalter",
        "Jeden Morgen fährt das Boot über den See",
    ),
    "bn": (
        "নদীটা পুরোনো কলের পাশ দিয়ে যায়",
        "প্রথম পাতায় আপনার নাম লিখুন",
        "দোকানটা সাড়ে আটটায় খোলে",
        "ঝুড়িতে চারটা আপেল আছে",
        "আমার কাকা একটা ছোট অফিসে কাজ করেন",
        "রাস্তাটা পাহাড়ের উপর দিয়ে গেছে",
        "রাতের খাবারে ভাত আর সবজি ছিল",
        "বাচ্চারা একসাথে স্কুলে যায়",
        "গত বছর একটা নতুন গ্রন্থাগার হয়েছে",
        "ছবিটা দরজার উপরে ঝোলানো আছে",
        "কাউন্টারে টিকিট পাওয়া যায়",
        "নৌকাটা রোজ সকালে হ্রদ পার হয়",
    ),
}


def _numbered(texts: tuple[str, ...], language: str, kind: str) -> tuple[Sentence, ...]:
    return tuple(
        Sentence(f"{language}_{kind}{number:02d}", text)
        for number, text in enumerate(texts, start=1)
    )


LABELLED = {language: _numbered(texts, language, "s") for language, texts in _LABELLED.items()}
"""Ten sentences a language, spoken in all four emotions; ids such as ``en_s01``."""

UNLABELLED = {language: _numbered(texts, language, "r") for language, texts in _UNLABELLED.items()}
"""Twelve other sentences a language for the unlabelled part; ids such as ``en_r01``."""

_POLISH = (
    "List leży na stole w kuchni",
    "Spotkamy się na dworcu w południe",
    "Ona postawiła niebieski kubek na półce",
    "Autobus zatrzymuje się przed szkołą",
    "On wraca w środę",
    "Okno wychodzi na ogród",
    "Krzesła są teraz w drugim pokoju",
    "Widziałem twojego brata na targu",
    "Gazeta leży obok lampy",
    "Dojazd tam zajmuje około godziny",
    "Rzeka płynie obok starego młyna",
    "Proszę napisać swoje nazwisko na pierwszej stronie",
    "Sklep otwiera się o wpół do dziewiątej",
    "W koszyku są cztery jabłka",
    "Mój wujek pracuje w małym biurze",
    "Droga biegnie przez wzgórze",
    "Na kolację mieliśmy ryż z warzywami",
    "Dzieci idą razem do szkoły",
    "W zeszłym roku zbudowano nową bibliotekę",
    "Obraz wisi nad drzwiami",
    "Bilety można kupić przy kasie",
    "Łódź każdego ranka przepływa jezioro",
)

SAME_MEANING = {
    **{
        language: tuple(sentence.text for sentence in (*LABELLED[language], *UNLABELLED[language]))
        for language in LANGUAGES
    },
    "pl": _POLISH,
}
"""The 22 sentences by language, Polish too, which no synthetic voice says: to compare sounds."""
