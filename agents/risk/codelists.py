"""The code lists of lodgements: countries, currencies with reference rates, HS 2022 chapters and headings.

Plain frozen sets and dictionaries, because one item asks them a dozen times and has microseconds. The codes are facts
of the standards named beside them.
"""

from __future__ import annotations

from typing import Final

_ISO_3166 = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO
    JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR
    MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO
    RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV
    TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
COUNTRIES: Final[frozenset[str]] = frozenset(_ISO_3166.split())
"""ISO 3166-1 alpha-2, the 249 codes officially assigned (2025)."""

CUSTOMS_COUNTRIES: Final[frozenset[str]] = frozenset(("EU", "XI", "XK", "XZ", "ZZ"))
"""Used beside ISO 3166 in declarations: EU origin, Northern Ireland, Kosovo, international waters, unknown."""

ISSUERS: Final[frozenset[str]] = frozenset(("EU", "UN", "XK", "XO", "XX", "ZZ"))
"""Beside ISO 3166 on travel documents (ICAO Doc 9303 part 3 section 5, in two letters): EU and UN laissez-passer,
Kosovo, the Order of Malta, stateless persons and refugees, unknown."""

KNOWN_ORIGINS: Final = COUNTRIES | CUSTOMS_COUNTRIES
KNOWN_NATIONALITIES: Final = COUNTRIES | ISSUERS
UNKNOWN_COUNTRY_CODE: Final = "ZZ"

RATES_AS_OF: Final = "2025-06-30"
_UNITS_PER_USD = """
    USD:1 EUR:0.853 GBP:0.729 JPY:144 CNY:7.16 KRW:1354 HKD:7.85 TWD:29.2 SGD:1.274 THB:32.5 MYR:4.21 IDR:16230
    PHP:56.4 VND:26100 INR:85.7 AUD:1.522 NZD:1.647 CAD:1.364 CHF:0.796 SEK:9.49 NOK:10.1 DKK:6.36 ISK:121
    PLN:3.62 CZK:21.0 HUF:340 RON:4.32 BGN:1.668 RSD:99.9 MKD:52.5 ALL:83.5 BAM:1.668 MDL:16.9 UAH:41.8 BYN:3.27
    RUB:78.5 GEL:2.72 AMD:384 AZN:1.70 KZT:519 KGS:87.4 UZS:12600 TJS:9.87 TMT:3.50 MNT:3585 TRY:39.8 ILS:3.37
    JOD:0.709 LBP:89500 SYP:13000 IQD:1310 IRR:42000 SAR:3.75 AED:3.6725 QAR:3.64 KWD:0.306 BHD:0.376 OMR:0.3845
    YER:242 AFN:70.5 PKR:284 BDT:122.5 LKR:300 NPR:137 BTN:85.7 MVR:15.4 MMK:2100 LAK:21570 KHR:4010 BND:1.274
    MOP:8.09 KPW:900 PGK:4.12 FJD:2.24 SBD:8.33 TOP:2.36 VUV:119 WST:2.70 XPF:101.8 EGP:49.6 LYD:5.41 TND:2.91
    DZD:129.5 MAD:9.01 MRU:39.7 SDG:600 SSP:4600 ETB:135 ERN:15 DJF:177.7 SOS:571 KES:129 UGX:3595 TZS:2640
    RWF:1440 BIF:2975 CDF:2890 AOA:917 ZMW:23.8 MWK:1735 MZN:63.9 MGA:4430 MUR:45.2 SCR:14.5 KMF:420 BWP:13.4
    NAD:17.8 LSL:17.8 SZL:17.8 ZAR:17.8 ZWG:26.9 NGN:1532 GHS:10.35 GMD:71.5 GNF:8660 SLE:22.4 LRD:200 CVE:94.1
    STN:20.9 XAF:559.7 XOF:559.7 SHP:0.729 GIP:0.729 FKP:0.729 BRL:5.43 ARS:1194 CLP:932 COP:4085 PEN:3.55
    BOB:6.91 PYG:7980 UYU:40.2 VES:107 GYD:209 SRD:37.6 MXN:18.8 GTQ:7.68 BZD:2.00 HNL:26.1 NIO:36.8 CRC:505
    PAB:1 CUP:24 DOP:59.5 HTG:131 JMD:160 TTD:6.79 BBD:2.00 BSD:1 BMD:1 KYD:0.833 AWG:1.79 XCD:2.70 XCG:1.79
    ANG:1.79 SVC:8.75
"""
USD_PER_UNIT: Final[dict[str, float]] = {
    code: 1.0 / float(units) for code, units in (pair.split(":") for pair in _UNITS_PER_USD.split())
}
"""US dollars for one unit of each ISO 4217 currency, as of `RATES_AS_OF`, rounded to three figures.

For comparing declared values with each other, which is all that risk needs; never for assessing duty. They are
constant, so that a replay of old traffic comes to the same decisions; `Screening` takes another table instead.
"""


def _ranges(text: str) -> frozenset[str]:
    """`01:1-6,8` to {'0101', ..., '0106', '0108'}."""
    headings: set[str] = set()
    for part in text.split():
        chapter, spans = part.split(":")
        for span in spans.split(","):
            low, _, high = span.partition("-")
            headings.update(f"{chapter}{number:02d}" for number in range(int(low), int(high or low) + 1))
    return frozenset(headings)


HEADINGS: Final[frozenset[str]] = _ranges(
    """
    01:1-6 02:1-10 03:1-9 04:1-10 05:1-2,4-8,10-11 06:1-4 07:1-14 08:1-14 09:1-10 10:1-8 11:1-9 12:1-14 13:1-2 14:1,4
    15:1-18,20-22 16:1-5 17:1-4 18:1-6 19:1-5 20:1-9 21:1-6 22:1-9 23:1-9 24:1-4 25:1-26,28-30 26:1-21 27:1-16
    28:1-37,39-47,49-50,52-53 29:1-42 30:1-6 31:1-5 32:1-15 33:1-7 34:1-7 35:1-7 36:1-6 37:1-7 38:1-27 39:1-26 40:1-17
    41:1-7,12-15 42:1-3,5-6 43:1-4 44:1-21 45:1-4 46:1-2 47:1-7 48:1-14,16-23 49:1-11 50:1-7 51:1-13 52:1-12
    53:1-3,5-11 54:1-8 55:1-16 56:1-9 57:1-5 58:1-11 59:1-11 60:1-6 61:1-17 62:1-17 63:1-10 64:1-6 65:1-2,4-7 66:1-3
    67:1-4 68:1-15 69:1-7,9-14 70:1-11,13-20 71:1-18 72:1-29 73:1-26 74:1-13,15,18-19 75:1-8 76:1-16 78:1-2,4,6
    79:1-5,7 80:1-3,7 81:1-13 82:1-15 83:1-11 84:1-68,70-87 85:1-19,21-49 86:1-9 87:1-16 88:1-2,4-7 89:1-8 90:1-8,10-33
    91:1-14 92:1-2,5-9 93:1-7 94:1-6 95:3-8 96:1-20 97:1-6
    """
)
"""The headings of the Harmonized System 2022 (four digits)."""

RETIRED_HEADINGS: Final[frozenset[str]] = frozenset(("2848", "6908", "8469", "8803"))
"""Headings that the editions of 2017 and 2022 deleted: old declarations and old catalogues still carry them."""

CHAPTERS: Final[frozenset[str]] = frozenset(heading[:2] for heading in HEADINGS) | {"98", "99"}
"""The 96 chapters in use (77 is reserved), and 98 and 99 which contracting parties use for special provisions."""
