"""Personal data that has a form: found where it is, and not where only the form is alike."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from linnet.text.pii import find_pii


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("write to Ann.Lee+shop@mail.example.org, please", "email", "Ann.Lee+shop@mail.example.org"),
        ("my card is 4111 1111 1111 1111 ok", "credit_card", "4111 1111 1111 1111"),
        ("my card is 5500-0000-0000-0004.", "credit_card", "5500-0000-0000-0004"),
        ("amex 378282246310005", "credit_card", "378282246310005"),
        ("IBAN GB82 WEST 1234 5698 7654 32 thanks", "iban", "GB82 WEST 1234 5698 7654 32"),
        ("iban de89370400440532013000", "iban", "de89370400440532013000"),
        ("the server 84.12.9.201 is down", "ipv4", "84.12.9.201"),
        ("from 2001:db8:85a3::8a2e:370:7334 again", "ipv6", "2001:db8:85a3::8a2e:370:7334"),
        ("SSN 536-90-4399", "us_ssn", "536-90-4399"),
        ("ring +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
        ("(212) 555-0142 is mine", "phone", "(212) 555-0142"),
        ("212-555-0142 x12", "phone", "212-555-0142 x12"),
        ("mein Telefon: 030/1234567", "phone", "030/1234567"),
        ("01.84.17.61.18", "phone", "01.84.17.61.18"),
        ("please call 08452810075", "phone", "08452810075"),
        # Disguises: full-width digits, zero-width characters, a line break inside.
        ("４１１１ １１１１ １１１１ １１１１", "credit_card", "４１１１ １１１１ １１１１ １１１１"),
        ("4111\u200b 1111 1111 1111", "credit_card", "4111\u200b 1111 1111 1111"),
        ("4111 1111\n1111 1111", "credit_card", "4111 1111\n1111 1111"),
        ("a\u200b\u200bnn@mail.example.org", "email", "a\u200b\u200bnn@mail.example.org"),
    ],
)
def test_found_with_its_place(text: str, kind: str, found: str) -> None:
    spans = find_pii(text)
    assert [(span.kind, text[span.start : span.end]) for span in spans] == [(kind, found)]


@pytest.mark.parametrize(
    "text",
    [
        "my card is 4111 1111 1111 1112",  # Luhn says no
        "order 4929123456789 has not come",  # 13 digits, Luhn says no
        "order number 2125550142",
        "order number 212-555-0142",
        "tracking no. 020 7946 0958",
        "0000 0000 0000 0000",
        "GB82 WEST 1234 5698 7654 33",  # check digits say no
        "DE12 is the article",
        "meet me at 12:30:45 or 10:15",
        "version 10.0.12.4 of the app",
        "v1.2.3.4",
        "localhost is 127.0.0.1 or ::1",
        "999.1.2.3",
        "std::vector and a::b",
        "000-12-3456 and 666-12-3456 and 900-12-3456",
        "on 2024-01-15 or 15.01.2024 or 01/02/2024",
        "£1,234.56 for 2 items, 3-5 days, 9-17 h",
        "FH-000650 and SKU 55-1234-9",
        "user@localhost",
        "@name, see you at 5",
        "I am 19 and live at number 10",
        "",
    ],
)
def test_not_found(text: str) -> None:
    assert find_pii(text) == []


def test_several_in_one_text_come_in_order_and_do_not_overlap() -> None:
    spans = find_pii("a@mail.example.org or +1 212 555 0142, card 4111111111111111")
    assert [span.kind for span in spans] == ["email", "phone", "credit_card"]
    assert all(left.end <= right.start for left, right in pairwise(spans))


@pytest.mark.parametrize("piece", ["1", "1 ", "1-", "a.", "a@", ":", "a:", "GB82", "+", "(0", "01 ", "%"])
def test_long_hostile_text_takes_linear_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    started = time.process_time()
    find_pii(text)
    assert time.process_time() - started < 5
