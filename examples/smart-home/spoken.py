"""How people say numbers, lengths of time, clock times and days: each function draws (words, short form).

Knows the rules of the README about missing "am" and "pm"; knows nothing about tools.
"""

from random import Random

ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
DAY_NAMES = {"Monday": "mon", "Tuesday": "tue", "Wednesday": "wed", "Thursday": "thu", "Friday": "fri",
             "Saturday": "sat", "Sunday": "sun"}  # fmt: skip
PARTS = {"morning": "08:00", "afternoon": "15:00", "evening": "19:00"}


def words(value: int) -> str:
    """A whole number below 100 in words."""
    if value < 20:
        return ONES[value]
    tens, ones = divmod(value, 10)
    return TENS[tens] + (f"{' ' if ones % 2 else '-'}{ONES[ones]}" if ones else "")


def figure(rng: Random, value: int) -> str:
    return str(value) if rng.random() < 0.6 or value >= 100 else words(value)


def percent(rng: Random) -> tuple[str, str]:
    """`to {percent}`: 40 percent, 40%, forty percent, half, three quarters."""
    if rng.random() < 0.15:
        return rng.choice([("half", "50%"), ("a quarter", "25%"), ("three quarters", "75%"), ("a third", "33%"),
                           ("fifty percent", "50%")])  # fmt: skip
    value = rng.choice([5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, rng.randint(3, 99)])
    said = rng.choice([f"{value}%", f"{value} percent", f"{value} %", f"{words(value)} percent", f"{value} per cent"])
    return said, f"{value}%"


def extreme(rng: Random) -> tuple[str, str]:
    """`to {extreme}`: a percentage, a bare number, or an end of the scale."""
    draw = rng.random()
    if draw < 0.2:
        said = ["full", "maximum", "the maximum", "max", "a hundred percent", "100%", "a hundred", "the highest"]
        return rng.choice(said), "100%"
    if draw < 0.3:
        return rng.choice(["the minimum", "minimum", "the lowest", "one percent", "1%", "min"]), "1%"
    if draw < 0.45:
        value = rng.randrange(5, 100, 5)
        return figure(rng, value), f"{value}%"
    return percent(rng)


def volume(rng: Random) -> tuple[str, str]:
    """`volume {volume}`: a bare number or a percentage."""
    value = rng.choice([rng.randrange(5, 101, 5), rng.randint(3, 99)])
    said = figure(rng, value)
    return rng.choice([said, said, f"{said} percent", f"{value}%"]), f"{value}%"


def kelvin(rng: Random) -> tuple[str, str]:
    value = rng.choice([2000, 2200, 2400, 2700, 2900, 3000, 3200, 3500, 3800, 4000, 4500, 5000, 5500, 6000, 6500])
    return rng.choice([f"{value} kelvin", f"{value}K", f"{value} K", f"{value} Kelvin"]), f"{value}K"


def degrees(rng: Random) -> tuple[str, str]:
    """A temperature a home can have; without a unit, up to 40 is Celsius and above is Fahrenheit."""
    if rng.random() < 0.3:
        value = rng.randint(55, 82)
        tail = rng.choice(["", " degrees", " Fahrenheit", " degrees Fahrenheit", "F", " °F", " f"])
        return (figure(rng, value) if not tail or tail[0] == " " else str(value)) + tail, f"{value}F"
    value, half = rng.randint(15, 26), rng.random() < 0.18
    if half:
        said = rng.choice(
            [f"{value}.5", f"{value} and a half", f"{words(value)} and a half", f"{words(value)} point five"]
        )
    else:
        said = figure(rng, value)
    tail = rng.choice(["", "", " degrees", " degrees", " Celsius", " degrees Celsius", "°", "C", " °C"])
    if not said[-1].isdigit() and tail in ("°", "C", " °C"):
        tail = " degrees"
    return said + tail, f"{value}{'.5' if half else ''}C"


def step(rng: Random) -> tuple[str, str]:
    """`by {step}`: an amount of degrees without its direction."""
    value = rng.choice([1, 1, 2, 2, 3, 4, 5])
    noun = "degree" if value == 1 else "degrees"
    lead = "a" if value == 1 and rng.random() < 0.5 else figure(rng, value)
    if rng.random() < 0.15:
        return f"{lead} {noun} Fahrenheit", f"{value}F"
    return f"{lead} {noun}", f"{value}C"


def duration(rng: Random) -> tuple[str, str]:
    draw = rng.random()
    if draw < 0.14:
        return rng.choice([("half an hour", "30m"), ("an hour", "1h"), ("an hour and a half", "1h 30m"),
                           ("a quarter of an hour", "15m"), ("three quarters of an hour", "45m"), ("a minute", "1m"),
                           ("an hour and a quarter", "1h 15m"), ("half a minute", "30s"), ("one hour", "1h"),
                           ("a minute and a half", "1m 30s"), ("two and a half hours", "2h 30m"),
                           ("two and a half minutes", "2m 30s"), ("three and a half minutes", "3m 30s")])  # fmt: skip
    if draw < 0.22:
        value = rng.choice([10, 15, 20, 30, 40, 45, 50, 60, 75, 90, 100, 120])
        return f"{figure(rng, value)} {rng.choice(['seconds', 'seconds', 'secs'])}", f"{value}s"
    if draw < 0.32:
        hours = rng.randint(2, 9)
        return f"{figure(rng, hours)} hours", f"{hours}h"
    if draw < 0.46:
        hours, minutes = rng.randint(1, 4), rng.choice([5, 10, 15, 20, 25, 30, 40, 45, 50])
        lead = f"{figure(rng, hours)} hour{'s' if hours > 1 else ''}"
        joint = rng.choice([" ", " and "])
        return f"{lead}{joint}{figure(rng, minutes)} minutes", f"{hours}h {minutes}m"
    if draw < 0.53:
        minutes, rest = rng.randint(2, 12), rng.choice([10, 15, 20, 30, 40, 45])
        joint = rng.choice([" ", " and "])
        return f"{figure(rng, minutes)} minutes{joint}{figure(rng, rest)} seconds", f"{minutes}m {rest}s"
    value = rng.randint(2, 60) if rng.random() < 0.75 else rng.choice([75, 80, 90, 100, 110, 120])
    return f"{figure(rng, value)} {rng.choice(['minutes', 'minutes', 'minutes', 'min', 'mins'])}", f"{value}m"


def reading(rng: Random, hour: int, minute: int) -> str:
    """A twelve-hour reading without the part of the day."""
    name, after = hour % 12 or 12, (hour + 1) % 12 or 12
    said = [f"{name}:{minute:02d}"] if minute else [f"{name}", words(name), f"{name} o'clock", f"{words(name)} o'clock"]
    if minute >= 10:
        said += [f"{words(name)} {words(minute)}", f"{name}.{minute:02d}"]
    if minute in (5, 10, 20, 25):
        said.append(f"{words(minute)} past {words(name)}")
    if minute in (35, 40, 50, 55):
        said.append(f"{words(60 - minute)} to {words(after)}")
    if minute == 15:
        said += [f"quarter past {words(name)}", f"a quarter past {name}", f"quarter past {name}"]
    if minute == 30:
        said += [f"half past {words(name)}", f"half past {name}", f"half {words(name)}"]
    if minute == 45:
        said += [f"quarter to {words(after)}", f"a quarter to {words(after)}", f"quarter to {after}"]
    return rng.choice(said)


def part_of_day(hour: int) -> str:
    names = (
        (5, "at night"),
        (12, "in the morning"),
        (17, "in the afternoon"),
        (21, "in the evening"),
        (24, "at night"),
    )
    return next(name for end, name in names if hour < end)


def minute(rng: Random) -> int:
    usual: list[int] = [0, 0, 0, 0, 30, 30, 30, 15, 15, 45, 45, *range(5, 60, 5)]
    drawn: int = rng.choice([*usual, rng.randrange(60)])
    return drawn


def clock(rng: Random, hour: int, bare: bool) -> tuple[str, str]:
    """One time; `bare` allows to leave the part of the day out, where the rules then give this time."""
    minutes = minute(rng)
    value = f"{hour:02d}:{minutes:02d}"
    if rng.random() < 0.17:
        return value, value
    said = reading(rng, hour, minutes)
    if bare and rng.random() < 0.6:
        return said, value
    if "o'clock" in said or "past" in said or " to " in said or rng.random() < 0.5:
        return f"{said} {part_of_day(hour)}", value
    gap = "" if said[-1].isdigit() and rng.random() < 0.4 else " "
    return f"{said}{gap}{rng.choice(['am', 'a.m.', 'AM'] if hour < 12 else ['pm', 'p.m.', 'PM'])}", value


def alarm_time(rng: Random) -> tuple[str, str]:
    """Alarms: without a part of the day, 1 to 11 is the morning."""
    if rng.random() < 0.05:
        return rng.choice([("noon", "12:00"), ("midnight", "00:00"), ("midday", "12:00")])
    hour = rng.choice([4, 5, 5, 6, 6, 6, 7, 7, 7, 7, 8, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23])
    return clock(rng, hour, bare=1 <= hour <= 12)


def alarm_days(rng: Random) -> tuple[str, str]:
    """`... at seven {days}`."""
    draw = rng.random()
    if draw < 0.5:
        return rng.choice([("on weekdays", "mon-fri"), ("every weekday", "mon-fri"), ("Monday to Friday", "mon-fri"),
                           ("at the weekend", "sat-sun"), ("on weekends", "sat-sun"), ("every day", "mon-sun"),
                           ("daily", "mon-sun"), ("tomorrow", "tomorrow"), ("for tomorrow", "tomorrow"),
                           ("today", "today"), ("tomorrow", "tomorrow"), ("on Saturday and Sunday", "sat sun"),
                           ("seven days a week", "mon-sun"), ("Saturdays and Sundays", "sat sun")])  # fmt: skip
    count = rng.choice([1, 1, 1, 2, 2, 3])
    names = sorted(rng.sample(list(DAY_NAMES), count), key=list(DAY_NAMES).index)
    plural = rng.choice(["on {}", "every {}", "{}s", "on {}s"])
    listed = [name + ("s" if plural in ("{}s", "on {}s") else "") for name in names]
    said = listed[0] if count == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
    return plural.replace("{}s", "{}").format(said), " ".join(DAY_NAMES[name] for name in names)


def day(rng: Random) -> tuple[str, str]:
    if rng.random() < 0.4:
        return "tomorrow", "tomorrow"
    name = rng.choice(list(DAY_NAMES))
    return rng.choice([f"on {name}", f"on {name}", f"next {name}", f"this {name}"]), DAY_NAMES[name]


def when(rng: Random) -> tuple[str, str]:
    """A reminder's time with its preposition; without a part of the day, 1:00 to 6:59 is the afternoon."""
    draw = rng.random()
    if draw < 0.2:
        return day(rng)
    if draw < 0.36:
        said, value = day(rng)
        part = rng.choice(list(PARTS))
        fixed = [("tonight", "today; 19:00"), ("this evening", "today; 19:00"), ("this afternoon", "today; 15:00"),
                 ("at noon", "12:00"), ("at lunchtime", "12:00"), ("at midday", "12:00"),
                 ("in the morning", "08:00"), ("in the evening", "19:00"), ("in the afternoon", "15:00")]  # fmt: skip
        return rng.choice([(f"{said} {part}", f"{value}; {PARTS[part]}"), rng.choice(fixed)])
    if draw < 0.52:
        said, value = duration(rng)
        while value.endswith("s"):
            said, value = duration(rng)
        hours, _, minutes = value.rpartition("h")
        return f"in {said}", f"in {int(hours or 0) * 60 + int(minutes.strip(' m') or 0)}m"
    hour = rng.choice([7, 8, 8, 9, 9, 10, 11, 12, 13, 14, 15, 15, 16, 17, 17, 18, 18, 19, 20, 21])
    said, value = clock(rng, hour, bare=7 <= hour <= 18)
    if draw < 0.72:
        return f"at {said}", value
    if draw < 0.78 and hour >= 17:
        return f"tonight at {reading(rng, hour, int(value[3:]))}", f"today; {value}"
    day_said, day_value = day(rng)
    order = rng.choice([f"{day_said} at {said}", f"{day_said} at {said}", f"at {said} {day_said}"])
    return order, f"{day_value}; {value}"


def morning_time(rng: Random) -> tuple[str, str]:
    """A bare time between five and ten, for sentences that say "morning" themselves."""
    hour, minutes = rng.randint(5, 10), minute(rng)
    return reading(rng, hour, minutes), f"{hour:02d}:{minutes:02d}"


def percent_step(rng: Random) -> tuple[str, str]:
    value = rng.choice([5, 10, 10, 15, 20, 25, 30, 35, 40, 50, 60])
    return figure(rng, value), str(value)
