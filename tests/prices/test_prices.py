"""Prices are data: every file is sound, and who knows a price is asked in a fixed order."""

import sys
from decimal import Decimal

import pytest

from deepswarm.core.money import Rates
from deepswarm.prices import PriceBook, book_of
from deepswarm.prices.provider_file import provider_files, read

NOW = 1_795_431_600.0
"""Monday 23 November 2026, 11:00 UTC."""
DEEPSEEK = "https://api.deepseek.com/v1"
OPENAI = "https://api.openai.com/v1/chat/completions"
HEAD = 'hosts = ["x.org"]\nsource = "https://x.org"\nchecked = "2026-11-15"\n'
MODEL = '[[models]]\nnames = ["m"]\nrates = { input = 1, cached = 1, output = 2 }\n'


@pytest.mark.parametrize("file", provider_files(), ids=lambda file: file.name)
def test_every_price_file_names_its_source_and_the_day_it_was_checked(file):
    assert file.source.startswith("https://")
    assert file.hosts
    assert file.prices or file.reports_cost
    for price in file.prices.values():
        assert price.rates.cached <= price.rates.input
        assert price.peak is None or all(dear > cheap for dear, cheap in zip(price.peak, price.rates, strict=True))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hosts = []", "source"),
        (HEAD + "prize = 1\n", "unknown key prize"),
        (HEAD + MODEL.replace("input = 1", "input = -1"), "below 0"),
        (HEAD + MODEL.replace("cached = 1, ", ""), "cached"),
        (HEAD + MODEL.replace('"m"', '"m", "m"'), "stands in it twice"),
        (HEAD + MODEL + "peak = { input = 1, cached = 1, output = 2 }\n", "no peak hours"),
        (HEAD + "[peak]\nhours = [[4, 4]]\n", "the hours 4 to 4"),
        (HEAD + "[peak]\nhours = [[1, 25]]\n", "25 is no whole number"),
        (HEAD + "[peak]\nweekdays = [7]\n", "7 is no whole number"),
        (HEAD.replace("2026-11-15", "yesterday"), "yesterday"),
        ("=", "Invalid"),
    ],
)
def test_a_price_file_that_is_wrong_is_refused_by_name_and_reason(text, words):
    with pytest.raises(ValueError, match=f"(?s)prices/x.toml: .*{words}"):
        read("x", text)


def test_deepseek_costs_what_its_page_says():
    book = PriceBook(DEEPSEEK)
    flash, pro = book.of("deepseek-v4-flash", NOW), book.of("deepseek-v4-pro", NOW)
    assert flash.at(NOW) == Rates(Decimal("0.15"), Decimal("0.003"), Decimal("0.60"))
    assert flash.at(NOW - 9 * 3600) == Rates(Decimal("0.30"), Decimal("0.006"), Decimal("1.20"))
    assert pro.at(NOW) == Rates(Decimal("0.66"), Decimal("0.022"), Decimal("1.98"))
    assert flash.checked == "2026-11-15"


def test_the_task_goes_before_the_file_and_the_file_before_the_library():
    own = {"prices": {"deepseek-flash": {"input": 0.1, "output": 0.2}}, "worker_api_base": DEEPSEEK}
    price = book_of(own, OPENAI).of("deepseek-flash", NOW, "deepseek-flash-1017")
    assert price.rates == Rates(Decimal("0.1"), Decimal("0.1"), Decimal("0.2"))
    assert price.source == "task file"
    assert PriceBook(DEEPSEEK).of("deepseek-flash", NOW).source.startswith("https://api-docs.deepseek.com")
    assert book_of({}, OPENAI).of("gpt-5-mini", NOW).source.startswith("genai-prices")


def test_the_model_that_answered_is_the_one_that_is_billed():
    assert PriceBook(DEEPSEEK).of("some-alias", NOW, "deepseek-v4-pro").rates.input == Decimal("0.66")


def test_the_library_knows_other_models_with_the_rates_of_large_prompts():
    price = PriceBook("https://api.anthropic.com/v1/messages").of("claude-sonnet-4-5", NOW)
    assert price.at(NOW, 200_000).input == 3
    assert price.at(NOW, 200_001).input == 6


@pytest.mark.parametrize(
    ("address", "model"),
    [(OPENAI, "no-such-model"), ("http://localhost:8000/v1", "gpt-5-mini"), ("https://x.example/v1", "gpt-5-mini")],
)
def test_what_nobody_knows_is_unknown(address, model):
    assert PriceBook(address).of(model, NOW) is None


def test_an_installation_without_the_library_knows_less_and_works(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    assert PriceBook(OPENAI).of("gpt-5-mini", NOW) is None
    assert PriceBook(DEEPSEEK).of("deepseek-flash", NOW) is not None


def test_only_openrouter_says_what_it_took():
    assert PriceBook("https://openrouter.ai/api/v1").reports_cost
    assert not PriceBook(DEEPSEEK).reports_cost
    assert not PriceBook("https://notopenrouter.ai/api/v1").reports_cost
