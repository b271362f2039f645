from __future__ import annotations

import pytest

from rota.fetch.name import LONGEST, LONGEST_ON_DISK, PART, numbered, safe_name


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("report.pdf", "report.pdf"),
        ("naïve 日本.txt", "naïve 日本.txt"),
        ("", "index.html"),
        ("...", "index.html"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/absolute", "absolute"),
        ("ends/", "index.html"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("--", "index.html"),
        ("C:evil.exe", "Cevil.exe"),
        ("a\0b\n\x1b[31mc", "ab[31mc"),
        ("gpj.\u202eexe.txt", "gpj.exe.txt"),
        ("a\u2028b", "ab"),
        ("trailing. . ", "trailing"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("COM\u00b9.log", "_COM\u00b9.log"),
        ("console.txt", "console.txt"),
        ("e\u0301.txt", "\u00e9.txt"),
        ("\udc80x", "x"),
        ("film.part", "film.part_"),
        ("film.PART", "film.PART_"),
    ],
)
def test_a_name_can_do_no_harm(asked: str, given: str) -> None:
    assert safe_name(asked) == given


@pytest.mark.parametrize("letter", ["a", "é", "日", "😀"])
def test_a_long_name_is_cut_to_fit_with_its_part_and_number(letter: str) -> None:
    name = safe_name(letter * 300 + ".tar.gz")
    assert name.endswith(".tar.gz")
    assert len(name.encode()) <= LONGEST
    assert len((numbered(name, 999_999_999) + PART).encode()) <= LONGEST_ON_DISK


def test_two_long_names_stay_two() -> None:
    assert safe_name("a" * 300 + "1.jpg") != safe_name("a" * 300 + "2.jpg")


def test_an_endless_ending_is_cut_too() -> None:
    assert len(safe_name("a." + "b" * 300).encode()) <= LONGEST


def test_what_fits_is_not_cut() -> None:
    assert safe_name("a" * LONGEST) == "a" * LONGEST


@pytest.mark.parametrize(
    ("name", "number", "given"),
    [
        ("a.html", 1, "a.html"),
        ("a.html", 2, "a-2.html"),
        ("a", 10, "a-10"),
        ("a.tar.gz", 3, "a-3.tar.gz"),
        ("a.b.c", 2, "a.b-2.c"),
    ],
)
def test_numbers_go_before_the_ending(name: str, number: int, given: str) -> None:
    assert numbered(name, number) == given
