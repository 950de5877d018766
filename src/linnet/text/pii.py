"""Personal data that its form gives away: addresses, numbers with check digits, phone numbers.

Conservative: what may as well be an order number is not reported. A hit is a hint for the user, not proof, and no
hit is no promise. Names and street addresses have no form and are not looked for.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ("email", "iban", "credit_card", "us_ssn", "ipv6", "ipv4", "phone")

# ISO 13616 registry: country, length of its IBAN.
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20"
        " EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30"
        " KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24"
        " PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29"
        " VA22 VG24 XK20",
    )
}
_EMAIL = re.compile(r"(?<![\w.%+'-])[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}(?![\w@])")
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9])")
_CARD = re.compile(r"(?<![\w.+-])\d(?:[ \n-]?\d){12,18}(?![\w-])")
_CARD_ISSUER = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[689]\d)\d{11}"
)
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{3,39}(?:\.\d{1,3}){0,3}(?![\w:])")
_PHONE_END = r"(?: ?(?:x|ext\.?) ?\d{1,5})?(?!\w|[-./]\d)"
_PHONES = (
    # International: a plus and 8 to 15 digits.
    re.compile(r"(?<![\w+])\+(?:[ ().-]{0,2}\d){8,15}" + _PHONE_END),
    re.compile(r"(?<![\w.+/#-])00[1-9]\d{0,2}(?:[ .-]\(?\d{2,5}\)?){2,4}" + _PHONE_END),
    # North America: 3, 3 and 4 digits that are kept apart.
    re.compile(r"(?<![\w.+/#-])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}" + _PHONE_END),
    # National with its leading zero, kept apart: 020 7946 0958, 030/1234567, (0161) 496 0000.
    re.compile(r"(?<![\w.+#-])(?:\(0[1-9]\d{1,3}\) ?|0[1-9]\d{1,3}[ /-])\d{3,4}[ -]?\d{3,4}" + _PHONE_END),
    # In pairs: 01.84.17.61.18, 0490 75 40 81.
    re.compile(r"(?<![\w.+/#-])0[1-9](?:\d\d)?(?:[ .-]\d\d){3,4}" + _PHONE_END),
)
# A bare run of digits is a phone number only right after a word that says so.
_BARE_PHONE = re.compile(
    r"\b(?:call|phone|telephone|tel|mobile|cell|whatsapp|text|sms|ring|fax)\b[^\d\n]{0,16}?(?<![\w.+#-])(\d{9,12})(?!\w|[-.]\d)",
    re.IGNORECASE,
)
_OTHER_NUMBER = re.compile(
    r"(?:order|invoice|ticket|tracking|reference|ref|case|serial|article|item|parcel|booking|account|id)"
    r"(?: ?(?:number|no|nr|id|code))?[ .:#]{0,3}$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text, in characters, and what it looks like."""

    kind: str
    start: int
    end: int


def find_pii(text: str) -> list[Span]:
    """Stretches of the text that look like personal data, left to right, none overlapping another.

    Kinds: email, iban (length and check digits), credit_card (issuer, length, Luhn), us_ssn, ipv6, ipv4, phone.
    Full-width digits and zero-width characters do not hide anything; positions are those of the given text.
    """
    folded, places = _fold(text)
    taken = bytearray(len(folded))
    spans = []
    for kind, start, end in _candidates(folded):
        if not any(taken[start:end]):
            taken[start:end] = b"\1" * (end - start)
            spans.append(Span(kind, places[start], places[end - 1] + 1))
    return sorted(spans, key=lambda span: span.start)


def _fold(text: str) -> tuple[str, range | list[int]]:
    """The text without disguises, and for each of its characters the position in the original."""
    if text.isascii():
        return text, range(len(text))
    folded: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if unicodedata.category(character) == "Cf":
            continue
        for plain in unicodedata.normalize("NFKC", character):
            folded.append(" " if plain.isspace() else "-" if unicodedata.category(plain) == "Pd" else plain)
            places.append(place)
    return "".join(folded), places


def _candidates(text: str) -> Iterator[tuple[str, int, int]]:
    """What looks like each kind, the surest kinds first."""
    if "@" in text:
        yield from (("email", *m.span()) for m in _EMAIL.finditer(text))
    if not any(c.isdigit() for c in text) and ":" not in text:
        return
    yield from (("iban", *span) for span in _ibans(text))
    yield from (("credit_card", *m.span()) for m in _CARD.finditer(text) if _is_card(m[0]))
    yield from (("us_ssn", *m.span()) for m in _SSN.finditer(text))
    yield from (("ipv6", *span) for span in _ipv6(text))
    yield from (("ipv4", *m.span()) for m in _IPV4.finditer(text) if _is_ipv4(text, m))
    for pattern in _PHONES:
        yield from (("phone", *m.span()) for m in pattern.finditer(text) if not _is_other_number(text, m))
    yield from (("phone", *m.span(1)) for m in _BARE_PHONE.finditer(text))


def luhn(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _is_card(shown: str) -> bool:
    if " " in shown and "-" in shown:
        return False
    digits = re.sub(r"\D", "", shown)
    return luhn(digits) and bool(_CARD_ISSUER.fullmatch(digits)) and len(set(digits)) > 1


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper(), 0)
        read, end = "", match.start()
        while len(read) < length and end < len(text):
            if text[end].isascii() and text[end].isalnum():
                read += text[end].upper()
            elif text[end] not in " \n-" or not text[end - 1].isalnum():
                break
            end += 1
        whole = length and len(read) == length and not (end < len(text) and text[end].isalnum())
        # ISO 7064 MOD 97-10 over the text with its first four characters moved to the end, letters as 10 to 35.
        if whole and int("".join(str(int(c, 36)) for c in read[4:] + read[:4])) % 97 == 1:
            yield match.start(), end


def _is_ipv4(text: str, match: re.Match[str]) -> bool:
    try:
        address = ipaddress.IPv4Address(match[0])
    except ValueError:
        return False
    before = text[max(0, match.start() - 12) : match.start()].lower()
    is_version = re.search(r"\b(?:version|firmware|release|build|ver\.?|v\.?)[ :]*$", before)
    return not (is_version or address.is_loopback or address.is_unspecified or match[0].startswith("0."))


def _ipv6(text: str) -> Iterator[tuple[int, int]]:
    if text.count(":") < 2:
        return
    for match in _IPV6.finditer(text):
        shown = match[0].rstrip(":") if not match[0].endswith("::") else match[0]
        try:
            address = ipaddress.IPv6Address(shown)
        except ValueError:
            continue
        # "::" and "a::b" are as likely code or an emoticon as an address.
        if sum(bool(part) for part in shown.split(":")) >= 3 and not address.is_loopback:
            yield match.start(), match.start() + len(shown)


def _is_other_number(text: str, match: re.Match[str]) -> bool:
    return bool(_OTHER_NUMBER.search(text[max(0, match.start() - 32) : match.start()]))
