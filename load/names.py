"""Fictional names, addresses and numbers of firms and persons, each from its index alone.

`mix` turns (index, salt) into a well-spread number, so a name costs no random draw and the same index always gives
the same party: heavy-tailed populations can be built lazily.
"""

from __future__ import annotations

_MASK = (1 << 64) - 1

_FIRM = ("Haneul", "Garam", "Baram", "Narae", "Dasom", "Maru", "Saebom", "Byeolbit", "Onnuri", "Hansol Field", "Gaon",
         "Taeyang", "Mirinae", "Seorae", "Dongbaek", "Yeoul", "Areum", "Choseong", "Solbit", "Noeul")  # fmt: skip
_TRADE = ("Trading", "International", "Logistics", "Commerce", "Industries", "Foods", "Tech", "Fashion", "Global",
          "Materials", "Living", "Bio")  # fmt: skip
_FAMILY = (("Kim", "김"), ("Lee", "이"), ("Park", "박"), ("Choi", "최"), ("Jung", "정"), ("Kang", "강"), ("Cho", "조"),
           ("Yoon", "윤"), ("Jang", "장"), ("Lim", "임"), ("Han", "한"), ("Oh", "오"), ("Seo", "서"), ("Shin", "신"),
           ("Kwon", "권"), ("Hwang", "황"), ("Ahn", "안"), ("Song", "송"))  # fmt: skip
_FIRST = (("Min", "민"), ("Seo", "서"), ("Ji", "지"), ("Ha", "하"), ("Do", "도"), ("Yu", "유"), ("Ye", "예"),
          ("Jun", "준"), ("Su", "수"), ("Eun", "은"), ("Tae", "태"), ("Hyun", "현"))  # fmt: skip
_SECOND = (("jun", "준"), ("yeon", "연"), ("woo", "우"), ("ah", "아"), ("won", "원"), ("jin", "진"), ("hee", "희"),
           ("ho", "호"), ("bin", "빈"), ("rin", "린"), ("young", "영"), ("min", "민"))  # fmt: skip
_CITY = ("Seoul", "Busan", "Incheon", "Daegu", "Daejeon", "Gwangju", "Suwon", "Ulsan", "Pyeongtaek", "Gimhae")
_ROAD = ("Haedoji-ro", "Sinheung-daero", "Gaepo-gil", "Namsan-ro", "Ocean-gil", "Sanup-daero", "Jungang-ro")
_FOREIGN = {
    "CN": (("Lanhai", "Jinquan", "Huaxin", "Yuanda", "Longteng", "Minghao", "Xinrui", "Baiyun"), "Co., Ltd."),
    "JP": (("Aozora", "Kitahama", "Minato", "Hoshino", "Sakuragi", "Tanabe Field", "Wakaba"), "K.K."),
    "DE": (("Nordhafen", "Elbtal", "Rheinwerk", "Feldmann Muster", "Blauberg"), "GmbH"),
    "US": (("Redwood Harbor", "Blue Mesa", "Lakeside", "Summit Pine", "Prairie"), "LLC"),
    "IT": (("Portofelice", "Vallechiara", "Montesole", "Bellariva"), "S.r.l."),
    "FR": (("Clairmont", "Belrive", "Montclair", "Rivage"), "SARL"),
    "VN": (("Thanh Son", "Minh Phat", "Hoang Long", "Bien Xanh"), "JSC"),
}
_OTHERS = (("Meridian", "Eastgate", "Palm Bay", "Harborline", "Sunfield", "Orchid", "Silverleaf", "Crescent"), "Ltd")
_GOODS = ("Export", "Trading", "Supply", "Garments", "Electronics", "Foods", "Home", "Beauty", "Parts")
_GIVEN = ("ANNA", "DAVID", "MARIA", "WEI", "LI", "HARUTO", "YUKI", "NGUYEN", "SOMCHAI", "PRIYA", "ARJUN", "ELENA",
          "LUCAS", "SOFIA", "OMAR", "CARLOS", "JULIA", "THANH", "AISYAH", "BUDI")  # fmt: skip
_SURNAME = ("WANG", "CHEN", "TANAKA", "SATO", "TRAN", "PHAM", "SMITH", "MILLER", "GARCIA", "SILVA", "KHAN", "SINGH",
            "MUELLER", "ROSSI", "DUBOIS", "SANTOS", "RAHMAN", "WONG", "LIN", "KARIMOV")  # fmt: skip


def mix(index: int, salt: int) -> int:
    """A 64-bit number from `index` and `salt` (the finaliser of SplitMix64, Steele et al. 2014)."""
    z = (index * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def korean_firm(index: int) -> str:
    """A firm that imports, e.g. `Haneul Garam Trading Co., Ltd.`"""
    a = mix(index, 1)
    first, second = _FIRM[a % 20], _FIRM[(a >> 8) % 20]
    return f"{first} {second} {_TRADE[(a >> 16) % 12]} Co., Ltd."


def korean_person(index: int) -> str:
    """A consumer, romanised or (three in ten) in Hangul."""
    a = mix(index, 2)
    family, first, second = _FAMILY[a % 18], _FIRST[(a >> 8) % 12], _SECOND[(a >> 16) % 12]
    if (a >> 24) % 10 < 3:
        return family[1] + first[1] + second[1]
    return f"{family[0]} {first[0]}{second[0]}"


def korean_address(index: int) -> str:
    """Street and city."""
    a = mix(index, 3)
    return f"{a % 380 + 1} {_ROAD[(a >> 16) % 7]}, {_CITY[(a >> 24) % 10]}"


def business_number(index: int) -> str:
    """Shaped like a Korean business registration number."""
    a = mix(index, 4)
    return f"{a % 900 + 100}-{(a >> 16) % 90 + 10}-{(a >> 32) % 90000 + 10000}"


def customs_code(index: int) -> str:
    """Shaped like the personal customs clearance code of a consumer: P and twelve digits."""
    return f"P{mix(index, 5) % 10**12:012d}"


def foreign_firm(index: int, country: str) -> str:
    """A shipper or seller in `country`."""
    a = mix(index, 6)
    words, form = _FOREIGN.get(country, _OTHERS)
    return f"{words[a % len(words)]} {_GOODS[(a >> 16) % 9]} {(a >> 32) % 97 + 1} {form}"


def traveller_name(index: int, korean: bool) -> tuple[str, str]:
    """Family name and given names as in a machine-readable zone."""
    a = mix(index, 7)
    if korean:
        first, second = _FIRST[(a >> 8) % 12][0], _SECOND[(a >> 16) % 12][0]
        return _FAMILY[a % 18][0].upper(), f"{first}{second}".upper()
    return _SURNAME[a % 20], _GIVEN[(a >> 16) % 20]


def container_number(owner: str, serial: int) -> str:
    """A container number with its ISO 6346 check digit; `owner` is four letters, the last one U."""
    body = f"{owner}{serial % 1_000_000:06d}"
    return body + str(container_check_digit(body))


def container_check_digit(body: str) -> int:
    """ISO 6346 annex A: letters count 10, 12, 13, ... without multiples of 11; weights are powers of two."""
    total = 0
    for place, char in enumerate(body):
        if char.isdigit():
            worth = int(char)
        else:
            worth = ord(char) - 55
            worth += (worth - 1) // 10
        total += worth << place
    return total % 11 % 10


def air_waybill(prefix: str, serial: int) -> str:
    """An air waybill number: airline prefix, seven digits, and their remainder by seven (IATA Resolution 600a)."""
    digits = serial % 10_000_000
    return f"{prefix}-{digits:07d}{digits % 7}"
