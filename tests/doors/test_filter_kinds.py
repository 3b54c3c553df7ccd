"""What each kind of filter promises, beside what the suite asks of all of them."""

import random
import time

import pytest

from deepswarm.core.errors import TaskFileError
from deepswarm.core.records import Drop, Keep
from deepswarm.filters import Named, build
from deepswarm.filters.contamination import Contamination
from deepswarm.filters.duplicate import Duplicate
from deepswarm.filters.echo import Echo
from deepswarm.filters.function import Function, provenance
from deepswarm.filters.judging import Tally, judge_all
from deepswarm.filters.language import Language
from deepswarm.filters.length import Length
from deepswarm.filters.near_duplicate import HASHES, SURE, NearDuplicate, rows_of_band
from deepswarm.filters.parts import Parts
from deepswarm.filters.pattern import Pattern
from deepswarm.filters.refusal import Refusal
from deepswarm.filters.repetition import Repetition
from deepswarm.filters.texts import estimated_tokens, shingles, text_of

FOX = "The quick brown fox jumps over the lazy dog and goes home to sleep."


def reason(judge, answer, **fields):
    verdict = judge.judge({"id": "1", "answer": answer, **fields})
    return verdict.reason if isinstance(verdict, Drop) else ""


def problem(name, **options):
    with pytest.raises(TaskFileError) as caught:
        build([{name: options}])
    return "\n".join(map(str, caught.value.problems))


# --- texts -----------------------------------------------------------------------------------------------------------


def test_a_field_is_found_by_the_names_that_lead_to_it():
    record = {"seed": {"text": "a"}, "answer": "b", "n": 1}
    assert (text_of(record, "seed.text"), text_of(record, "answer")) == ("a", "b")
    assert text_of(record, "seed.none") is text_of(record, "n.x") is text_of(record, "seed") is None


def test_words_of_scripts_without_spaces_are_their_letters():
    assert shingles("敏捷的狐狸", 3) == {"敏 捷 的", "捷 的 狐", "的 狐 狸"}
    assert shingles("One, two", 3) == {"one two"}
    assert shingles(" .,", 3) == set()


def test_tokens_are_estimated_near_what_english_prose_takes():
    assert estimated_tokens(FOX) == pytest.approx(len(FOX.split()) / 0.85, rel=0.2)
    assert estimated_tokens("敏捷的狐狸") == 5
    assert estimated_tokens("") == 0
    assert estimated_tokens("123456\n") == 3


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "answer", "said"),
    [
        ({"required": ["# A", "# B"]}, "# B\n# A", ""),
        ({"required": ["# A", "# B"], "in_order": True}, "# B\n# A", "'# B' is missing behind the parts before it"),
        ({"required": ["# C"]}, "# A", "the part '# C' is missing"),
        ({"forbidden": ["TODO"]}, "a TODO", "it holds 'TODO'"),
        ({"tags": ["think"]}, "<think>a</think>b", ""),
        ({"tags": ["think"]}, "b", "there is no <think>"),
        ({"optional_tags": ["think"]}, "b", ""),
        ({"tags": ["think"]}, "<think>a", "<think> is never closed"),
        ({"tags": ["think"]}, "a</think>", "</think> closes what is not open"),
        ({"tags": ["think"]}, "<think><think></think></think>", "<think> stands within <think>"),
        ({"tags": ["a", "b"]}, "<a><b></a></b>", "</a> closes what is not open"),
        ({"tags": ["a"]}, '<a href="x">b</a><ab>', ""),
    ],
)
def test_parts_are_there_and_tags_balance(options, answer, said):
    assert reason(Parts(**options), answer).endswith(said)
    assert bool(reason(Parts(**options), answer)) == bool(said)


def test_options_of_parts_that_make_no_sense_are_refused():
    assert "nothing is asked for" in problem("parts")
    assert "without angle brackets" in problem("parts", tags=["<think>"])
    assert "'required' must be a list of texts" in problem("parts", required=[1])


# --- length ----------------------------------------------------------------------------------------------------------


def test_length_measures_other_fields_tokens_and_turns():
    assert reason(Length(min_tokens=9), "one two") == "2 tokens (estimated), fewer than 9"
    assert reason(Length(of="reasoning", max_words=1), "x", reasoning="a b") == "2 words, more than 1"
    assert reason(Length(of="reasoning"), "x") == "there is no text in 'reasoning'"
    turns = {"messages": [{}, {}, {}]}
    assert reason(Length(max_turns=2), "x", answer_json=turns) == "3 turns, more than 2"
    assert reason(Length(min_turns=2), "x", answer_json=[1]) == "1 turns, fewer than 2"
    assert reason(Length(min_turns=2), "x", messages=[1, 2]) == ""
    assert "no turns to count" in reason(Length(min_turns=1), "x")


# --- language, refusals, repetition, echo ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", FOX),
        ("de", "Der schnelle braune Fuchs springt über den faulen Hund und geht dann nach Hause."),
        ("fr", "Le renard brun rapide saute par-dessus le chien paresseux et rentre à la maison."),
        ("es", "El zorro marrón rápido salta sobre el perro perezoso y luego se va a casa a dormir."),
        ("zh", "敏捷的棕色狐狸跳过了懒狗然后回家睡觉。今天天气很好我们去公园散步。"),
        ("ru", "Быстрая коричневая лиса прыгает через ленивую собаку и идёт домой."),
        ("ja", "素早い茶色の狐はのろまな犬を飛び越えて、家に帰ります。今日は天気がいいです。"),
    ],
)
def test_a_language_is_told_from_others_offline(code, text):
    assert reason(Language(code), text) == ""
    other = "de" if code != "de" else "en"
    assert reason(Language([other]), text).startswith(f"written in {code}")


def test_what_is_too_short_or_no_prose_has_no_language():
    assert reason(Language("de"), "ok thanks") == ""
    assert reason(Language("de"), "```python\nfor every_fox in the_quick_brown_foxes: jump(over=lazy_dogs)\n```") == ""


def test_languages_that_are_unknown_are_refused():
    assert "no language is known as 'english'" in problem("language", wanted="english")
    assert "'wanted' names no language" in problem("language", wanted=[])


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I can\u2019t assist with this request.",
        "As an AI language model, I don't have personal opinions.",
        "Unfortunately, I am unable to provide that.",
        "I must decline to write this.",
        "This goes against my content policy.",
        "Es tut mir leid, aber das kann ich nicht tun.",
        "Je suis désolé, je ne peux pas vous aider.",
        "Lo siento, no puedo ayudar con eso.",
        "抱歉。我无法提供帮助。",
        "N/A",
        "I don't know.",
    ],
)
def test_refusals_apologies_and_empty_words_are_dropped(answer):
    assert reason(Refusal(), answer)


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot believe it is already spring!",
        "He said that he was sorry and went home.",
        "Sorry Seems to Be the Hardest Word is a song by Elton John.",
        "None of the above answers is right.",
        "x" * 500 + " I'm sorry, but I can't help with that.",
    ],
)
def test_what_only_sounds_like_a_refusal_is_kept(answer):
    assert reason(Refusal(), answer) == ""


def test_phrases_of_ones_own_count_in_the_opening_or_anywhere():
    late = "x" * 500 + " Please CONSULT a doctor."
    assert reason(Refusal(phrases=["consult a"]), late) == ""
    assert reason(Refusal(phrases=["consult a"], anywhere=True), late) == "it says 'consult a'"


def test_a_text_that_turns_in_circles_is_dropped():
    plain = " ".join(f"word{n}" for n in range(100))
    assert reason(Repetition(), plain) == ""
    assert "said again" in reason(Repetition(), f"{plain} {plain}")
    assert "stands 6 times" in reason(Repetition(), "this is one line\n" * 6 + plain)
    assert reason(Repetition(), "so so so so so so so so") == ""


def test_an_answer_that_is_the_prompt_is_dropped():
    seed = {"prompt": f"Please explain in your own words: {FOX}"}
    assert "stands in the prompt" in reason(Echo(), FOX, seed=seed)
    assert reason(Echo(), f"A fox leaps, {FOX.upper()[::-1]} and so on it goes", seed=seed) == ""
    assert reason(Echo(), "red", seed={"word": "Red"}) == "the answer is the prompt"
    assert reason(Echo(), FOX, seed=None) == ""


# --- duplicates ------------------------------------------------------------------------------------------------------


def kept(judge, *answers):
    rows = [{"id": str(n), "answer": answer} for n, answer in enumerate(answers)]
    return [n for n, verdict in enumerate(judge.judge_all(iter(rows))) if verdict == Keep()]


def test_of_the_same_texts_one_is_kept_by_the_stated_rule():
    assert kept(Duplicate(), "a b", "A  B", "c") == [0, 2]
    assert kept(Duplicate(keep="last"), "a b", "A  B", "c") == [1, 2]
    assert kept(Duplicate(ignore_space=False), "a b", "A  B", "c") == [0, 1, 2]
    assert kept(Duplicate(against=["C"]), "a b", "A  B", "c") == [0]


def test_of_near_texts_the_best_is_kept_and_the_others_name_it():
    longer = FOX + " Yes."
    rows = [{"id": "x", "answer": FOX}, {"id": "y", "answer": longer}, {"id": "z", "answer": "Something else."}]
    first, second, third = NearDuplicate(threshold=0.7, keep="longest").judge_all(iter(rows))
    assert first.reason.startswith("nearly the text of y (")
    assert second == third == Keep()
    assert kept(NearDuplicate(threshold=0.7), FOX, longer) == [0]
    assert kept(NearDuplicate(threshold=0.7, keep="last"), FOX, longer) == [1]
    assert kept(NearDuplicate(threshold=0.7, against=[FOX]), longer, "Something else.") == [1]


def test_planted_near_duplicates_are_found_and_nothing_else():
    chance = random.Random(7)
    vocabulary = [f"w{n}" for n in range(5_000)]
    originals = [chance.choices(vocabulary, k=200) for _ in range(150)]
    rows, planted = [], set()
    for number, words in enumerate(originals):
        rows.append({"id": f"o{number}", "answer": " ".join(words)})
        if number % 3 == 0:
            near = list(words)
            for place in chance.sample(range(200), 3):
                near[place] = "changed"
            planted.add(len(rows))
            rows.append({"id": f"n{number}", "answer": " ".join(near)})
    dropped = {n for n, verdict in enumerate(NearDuplicate().judge_all(iter(rows))) if isinstance(verdict, Drop)}
    assert dropped == planted


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_the_index_finds_nearly_all_pairs_at_the_threshold(threshold):
    rows = rows_of_band(threshold)
    assert 1 - (1 - threshold**rows) ** (HASHES // rows) >= SURE


def test_a_filter_of_all_records_stands_between_others_and_every_record_is_accounted_for():
    rows = [{"id": str(n), "answer": answer} for n, answer in enumerate(["aa", "aa", "a", "bb", "bb", "ccccc"])]
    filters = build([{"length": {"min_chars": 2}}, "duplicate", {"length": {"max_chars": 4}}])
    tally = Tally()
    judged = list(judge_all(rows, filters, tally))
    assert [dropped and dropped.filter for _, dropped in judged] == [
        None, "duplicate", "length", None, "duplicate", "length (2)",
    ]  # fmt: skip
    assert [row["id"] for row, _ in judged] == list("012345")
    assert [(count.judged, count.dropped) for count in tally.filters] == [(6, 1), (5, 2), (3, 1)]
    assert (tally.read, tally.kept, tally.dropped) == (6, 2, 4)


class Lazy:
    def judge(self, _):
        return Keep()

    def judge_all(self, _):
        yield Keep()


class Broken(Lazy):
    def judge_all(self, _):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("judge", "said"), [(Lazy(), "gave fewer verdicts than records"), (Broken(), "failed: RuntimeError: no")]
)
def test_a_filter_of_all_records_that_fails_loses_none(judge, said):
    tally = Tally()
    judged = list(judge_all([{"id": "1"}, {"id": "2"}], [Named("mine", judge)], tally))
    assert len(judged) == tally.read == 2
    assert said in judged[1][1].reason


# --- contamination ---------------------------------------------------------------------------------------------------


def test_a_text_of_a_benchmark_is_found_within_an_answer_or_a_seed():
    judge = Contamination([FOX, "yes"])
    assert reason(judge, f"Question: {FOX.upper()} What does it do?").startswith("100% of a text of the benchmark")
    assert "of a text of the benchmark" in reason(judge, "x", seed={"q": [FOX]})
    assert reason(judge, "yes, the quick brown fox") == ""
    assert reason(Contamination([FOX + " " + FOX[::-1]], max_share=0.9), FOX) == ""


def test_a_benchmark_that_holds_nothing_is_refused():
    assert "holds no text of 8 words or more" in problem("contamination", benchmark=["yes", "no"])


# --- pattern ---------------------------------------------------------------------------------------------------------


def test_a_pattern_must_match_or_must_not():
    assert reason(Pattern(match=r"\A\d+\Z"), "12") == ""
    assert "does not match" in reason(Pattern(match=r"\A\d+\Z"), "12a")
    assert reason(Pattern(forbid="todo", ignore_case=True), "a TODO") == "it matches 'todo': 'TODO'"
    assert "is no regular expression" in problem("pattern", match="(")
    assert "nothing is asked for" in problem("pattern")


@pytest.mark.parametrize("expression", [r"(a+)+b", r"(a|aa)+$", r"(a*)*c"])
def test_a_catastrophic_expression_is_stopped_and_says_so(expression):
    judge = Pattern(match=expression)
    judge.judge({"answer": ""})
    begun = time.process_time()
    said = reason(judge, "a" * 5_000 + "!")
    assert time.process_time() - begun < 5  # far above the 50 ms that it takes, far below the years without a limit
    assert "stopped after 50 ms" in said or "does not match" in said


# --- python ----------------------------------------------------------------------------------------------------------


def test_a_function_of_the_users_own_judges_and_its_file_is_named(tmp_path):
    file = tmp_path / "checks.py"
    file.write_text(
        "def good(record):\n"
        "    answer = record.pop('answer')\n"
        "    return {'yes': True, 'no': False, 'why': 'because', 'odd': 3}.get(answer)\n"
        "number = 3\n"
    )
    judge = Function(f"{file}:good")
    record = {"answer": "yes"}
    assert judge.judge(record) == Keep()
    assert record == {"answer": "yes"}
    assert reason(judge, "no") == "good said no"
    assert reason(Function(f"{file}:good", reason="bad"), "no") == "bad"
    assert reason(judge, "why") == "because"
    assert "gave int" in reason(judge, "odd")
    assert reason(judge, "nothing at all") == ""
    assert provenance(f"{file}:good").startswith(f"{file} (sha256 ")
    assert "is no function, but int" in problem("python", function=f"{file}:number")
    assert "cannot be loaded" in problem("python", function=f"{file}:missing")
    assert "file.py:name" in problem("python", function="good")


def test_code_of_the_users_own_is_refused_before_it_is_loaded(tmp_path):
    file = tmp_path / "checks.py"
    file.write_text("raise SystemExit('loaded')\n")
    for setting in ({"python": {"function": f"{file}:good"}}, f"{file}:Filter"):
        with pytest.raises(TaskFileError, match="--no-code refuses"):
            build([setting], code=False)
