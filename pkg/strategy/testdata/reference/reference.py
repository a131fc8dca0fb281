#!/usr/bin/env python3
"""Makes bars.csv and expected.csv, beside it. Needs nothing but Python.

The bars are made up: no vendor's data. Closes follow a sum of two sines with noise from a linear congruential
generator (Numerical Recipes' constants), in cents, on the days on which the New York exchanges were or are to be open.

The expected signals are worked out with none of the platform's code, anew at each bar from the closes alone, as in a
spreadsheet: averages as exact fractions, Wilder's index as 100 - 100 / (1 + RS) with 50 digits. A strategy starts without
a position, and its trades are done by the next bar.
"""
import csv
import datetime
import decimal
import fractions
import math
import pathlib

HERE = pathlib.Path(__file__).parent
BARS = 400
FAST, SLOW = 10, 30  # sma_cross
PERIOD, ENTRY, EXIT = 14, 30, 50  # rsi_reversion
WINDOW = 10 * PERIOD + 1  # the closes in the index
HOLIDAYS = set("""2025-01-09 2025-01-20 2025-02-17 2025-04-18 2025-05-26 2025-06-19 2025-07-04 2025-09-01 2025-11-27
2025-12-25 2026-01-01 2026-01-19 2026-02-16 2026-04-03 2026-05-25 2026-06-19 2026-07-03""".split())
SYMBOLS = {"ALFA": (10000, 7), "BRVO": (4200, 1931)}  # cents at the start, the generator's seed

decimal.getcontext().prec = 50


def days():
    day = datetime.date(2025, 1, 2)
    while True:
        if day.weekday() < 5 and day.isoformat() not in HOLIDAYS:
            yield day
        day += datetime.timedelta(days=1)


def noise(seed):
    """Numbers from -1 to 1, the mean of four, so that the small ones are the more frequent."""
    def uniform():
        nonlocal seed
        seed = (1664525 * seed + 1013904223) % 2**32
        return seed / 2**31 - 1
    while True:
        yield (uniform() + uniform() + uniform() + uniform()) / 4


def bars(start, seed):
    random, walk, before = noise(seed), 0.0, start
    for i, day in zip(range(BARS), days()):
        walk += 0.03 * next(random)
        wave = 0.10 * math.sin(2 * math.pi * i / 90 + seed) + 0.05 * math.sin(2 * math.pi * i / 23)
        close = round(start * math.exp(walk + wave + 0.0003 * i))
        opened = round(before * (1 + 0.005 * next(random)))
        high = max(opened, close) + round(close * 0.008 * abs(next(random)))
        low = min(opened, close) - round(close * 0.008 * abs(next(random)))
        yield day, opened, high, low, close, 1_000_000 + round(400_000 * next(random))
        before = close


def sma(closes, n):
    return fractions.Fraction(sum(closes[-n:]), n)


def rsi(closes):
    closes = [decimal.Decimal(c) for c in closes[-WINDOW:]]
    changes = [b - a for a, b in zip(closes, closes[1:])]
    zero = decimal.Decimal(0)
    gains, losses = [max(c, zero) for c in changes], [max(-c, zero) for c in changes]
    gain, loss = sum(gains[:PERIOD]) / PERIOD, sum(losses[:PERIOD]) / PERIOD
    for g, l in zip(gains[PERIOD:], losses[PERIOD:]):
        gain, loss = (gain * (PERIOD - 1) + g) / PERIOD, (loss * (PERIOD - 1) + l) / PERIOD
    return 100 - 100 / (1 + gain / loss)


def step(held, enter, leave):
    """The action at a bar, and whether the symbol is held after it."""
    if enter and not held:
        return "buy", True
    if leave and held:
        return "sell", False
    return "", held


def dollars(cents):
    return f"{cents // 100}.{cents % 100:02d}"


def main():
    with open(HERE / "bars.csv", "w", newline="") as b, open(HERE / "expected.csv", "w", newline="") as e:
        made, expected = csv.writer(b, lineterminator="\n"), csv.writer(e, lineterminator="\n")
        made.writerow("symbol date open high low close volume".split())
        expected.writerow("symbol date sma_fast sma_slow sma_cross rsi rsi_reversion".split())
        for symbol, (start, seed) in SYMBOLS.items():
            closes, crossed, reverted = [], False, False
            for day, opened, high, low, close, volume in bars(start, seed):
                made.writerow([symbol, day, dollars(opened), dollars(high), dollars(low), dollars(close), volume])
                closes.append(close)
                fast = slow = index = ""
                cross = revert = "BARS_INSUFFICIENT"
                if len(closes) >= SLOW:
                    f, s = sma(closes, FAST), sma(closes, SLOW)
                    cross, crossed = step(crossed, f > s, f < s)
                    fast, slow = f"{float(f) / 100:.6f}", f"{float(s) / 100:.6f}"
                if len(closes) >= WINDOW:
                    r = rsi(closes)
                    revert, reverted = step(reverted, r < ENTRY, r > EXIT)
                    index = f"{r:.6f}"
                expected.writerow([symbol, day, fast, slow, cross, index, revert])


if __name__ == "__main__":
    main()
