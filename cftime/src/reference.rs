//! Reference dates: the text after `since` in units of time.
//!
//! The CF conventions refer to UDUNITS, whose grammar for dates many files do not follow. This
//! module accepts every form that UDUNITS, xarray or cftime accepts, except ambiguous ones:
//! `01/02/2000`, or the zone `EST`, which xarray and cftime ignore.

/// A date, a time of day, and the offset of its clock from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    /// Nanoseconds since midnight.
    pub time: i64,
    /// Nanoseconds ahead of UTC.
    pub offset: i64,
}

const SECOND: i64 = 1_000_000_000;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Reference {
    /// Parses text such as `1950-01-01 00:00:00 UTC`. Does not check whether the calendar has the
    /// date.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = Cursor(text.trim().trim_end_matches([';', ',', '.']).trim_end());
        if rest.try_read(|rest| named(rest.word()?, &WEEKDAYS)).is_some() {
            rest.eat(',');
            rest.skip_spaces();
        }
        let (year, month, day, mut time) = match rest.try_read(compact) {
            Some(date) => date,
            None => {
                let (year, month, day) = date(&mut rest)?;
                (year, month, day, None)
            }
        };
        if time.is_none() {
            time = rest.try_read(|rest| {
                let separator = separator(rest)?;
                clock(rest, separator)
            });
        }
        let offset = if time.is_some() {
            zone(&mut rest, true)
        } else {
            // Without a time before it, a zone needs a space and a sign: `2000-01-01+01` is
            // ambiguous.
            rest.eat('T');
            let apart = rest.0.starts_with(char::is_whitespace);
            rest.skip_spaces();
            let signed = rest.0.starts_with(['+', '-']);
            zone(&mut rest, apart && signed)
        }?;
        rest.0.is_empty().then_some(Self { year, month, day, time: time.unwrap_or(0), offset })
    }
}

/// `20000102`, with the time if that follows without a separator.
fn compact(rest: &mut Cursor) -> Option<(i64, i64, i64, Option<i64>)> {
    let digits = rest.digits()?;
    let (date, time) = digits.split_at_checked(8)?;
    let (year, date) = date.split_at_checked(4)?;
    let (month, day) = date.split_at_checked(2)?;
    let time = match time.len() {
        0 => None,
        4 | 6 => Some(clock_digits(time, "")?),
        _ => return None,
    };
    Some((number(year)?, number(month)?, number(day)?, time))
}

/// A part of a date: digits, or the name of a month.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Number { value: i64, digits: usize },
    Month(i64),
}

fn field(rest: &mut Cursor) -> Option<Field> {
    rest.try_read(|rest| {
        let digits = rest.digits()?;
        let value = digits.parse().ok().filter(|_| digits.len() <= 5)?;
        Some(Field::Number { value, digits: digits.len() })
    })
    .or_else(|| rest.try_read(|rest| Some(Field::Month(named(rest.word()?, &MONTHS)?))))
}

/// Year, month and day; month and day are 1 if there is only a year.
fn date(rest: &mut Cursor) -> Option<(i64, i64, i64)> {
    let negative = rest.0.starts_with('-');
    let signed = negative || rest.0.starts_with('+');
    if signed {
        rest.skip(1);
    }
    let first = field(rest)?;
    let alone = *rest;
    let mut fields = vec![first];
    let separator = rest.0.chars().next().filter(|c| ['-', '/', '.', ' '].contains(c));
    while fields.len() < 3
        && let Some(next) = separator.and_then(|separator| {
            rest.try_read(|rest| {
                if separator == ' ' {
                    rest.eat(',');
                }
                rest.eat(separator).then_some(())?;
                field(rest)
            })
        })
    {
        fields.push(next);
    }
    // `2000 03:04` is a year and a time; `2000 03 04` and `2 Jan 2000` are dates.
    let dated = fields.iter().any(|field| matches!(field, Field::Month(_)))
        || (fields.len() == 3 && !rest.0.starts_with(':'));
    if separator == Some(' ') && !dated {
        fields.truncate(1);
        *rest = alone;
    }
    let (year, month, day) = meaning(&fields, signed)?;
    Some((if negative { -year } else { year }, month, day))
}

/// Decides which field is the year, the month and the day. If the year is last, day and month must
/// be distinguishable.
fn meaning(fields: &[Field], signed: bool) -> Option<(i64, i64, i64)> {
    use Field::{Month, Number};
    let long = |digits: usize| digits >= 3;
    match *fields {
        [Number { value: year, digits }] if signed || digits == 4 => Some((year, 1, 1)),
        [Number { value: year, digits }, Number { value: month, digits: 1..=2 } | Month(month)]
            if signed || long(digits) =>
        {
            Some((year, month, 1))
        }
        [
            Number { value: year, .. },
            Number { value: month, digits: 1..=2 },
            Number { value: day, digits: 1..=2 },
        ] => Some((year, month, day)),
        [Number { value: year, digits }, Month(month), Number { value: day, digits: 1..=2 }]
            if long(digits) =>
        {
            Some((year, month, day))
        }
        [Number { value: day, digits: 1..=2 }, Month(month), Number { value: year, digits }]
        | [Month(month), Number { value: day, digits: 1..=2 }, Number { value: year, digits }]
            if long(digits) && !signed =>
        {
            Some((year, month, day))
        }
        [
            Number { value: first, digits: 1..=2 },
            Number { value: second, digits: 1..=2 },
            Number { value: year, digits },
        ] if long(digits) && !signed => {
            let (day, month) = if first > 12 { (first, second) } else { (second, first) };
            (first == second || day > 12).then_some((year, month, day))
        }
        _ => None,
    }
}

/// A separator between a date and a time.
fn separator(rest: &mut Cursor) -> Option<char> {
    let separator = rest.0.chars().next()?;
    match separator {
        'T' | 't' | ',' | '_' | ':' | '-' => rest.skip(separator.len_utf8()),
        separator if separator.is_whitespace() => {}
        _ => return None,
    }
    rest.skip_spaces();
    Some(separator)
}

/// A time of day in nanoseconds. After a hyphen, which could be the sign of a zone, it must have
/// seconds.
fn clock(rest: &mut Cursor, separator: char) -> Option<i64> {
    let first = rest.digits()?;
    let time = if matches!(first.len(), 4 | 6) {
        clock_digits(first, fraction(rest))
    } else if first.len() > 2 {
        None
    } else {
        let minutes = if rest.eat(':') { rest.digits()? } else { "" };
        let seconds = if !minutes.is_empty() && rest.eat(':') { rest.digits()? } else { "" };
        if separator == '-' && seconds.is_empty() {
            return None;
        }
        if minutes.is_empty() {
            rest.eat('h');
        }
        let fraction = if seconds.is_empty() { "" } else { fraction(rest) };
        time_of_day(number(first)?, minutes, seconds, fraction)
    }?;
    let half = rest.try_read(|rest| {
        rest.skip_spaces();
        let word = rest.word()?.to_ascii_lowercase();
        ["am", "pm"].contains(&word.as_str()).then_some(word)
    });
    let (hour, past) = (time / (3_600 * SECOND), time % (3_600 * SECOND));
    match half.as_deref() {
        None => Some(time),
        Some(_) if !(1..=12).contains(&hour) => None,
        Some(half) => Some((hour % 12 + if half == "pm" { 12 } else { 0 }) * 3_600 * SECOND + past),
    }
}

/// `hhmm` or `hhmmss`.
fn clock_digits(digits: &str, fraction: &str) -> Option<i64> {
    let (hours, rest) = digits.split_at_checked(2)?;
    let (minutes, seconds) = rest.split_at_checked(2)?;
    time_of_day(number(hours)?, minutes, seconds, fraction)
}

/// Missing fields are empty.
fn time_of_day(hours: i64, minutes: &str, seconds: &str, fraction: &str) -> Option<i64> {
    let field = |text: &str, digits| match text.len() {
        0 => Some(0),
        length => number(text).filter(|_| length <= digits),
    };
    let (minutes, seconds) = (field(minutes, 2)?, field(seconds, 2)?);
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let nanoseconds = field(fraction, 9)? * 10_i64.pow(9 - u32::try_from(fraction.len()).ok()?);
    (hours < 24 && minutes < 60 && seconds < 60)
        .then_some(((hours * 60 + minutes) * 60 + seconds) * SECOND + nanoseconds)
}

/// The digits after a decimal point or comma, if there are any.
fn fraction<'a>(rest: &mut Cursor<'a>) -> &'a str {
    let read = rest.try_read(|rest| {
        (rest.eat('.') || rest.eat(',')).then_some(())?;
        Some(rest.digits().unwrap_or(""))
    });
    read.unwrap_or("")
}

/// The offset of a zone from UTC in nanoseconds. A number is a zone only if `numeric`. Text that is
/// not a zone stays in `rest`.
fn zone(rest: &mut Cursor, numeric: bool) -> Option<i64> {
    rest.skip_spaces();
    for (open, close) in [('(', ')'), ('[', ']')] {
        if let Some(inner) = rest.0.strip_prefix(open).and_then(|inner| inner.strip_suffix(close)) {
            *rest = Cursor(inner.trim());
        }
    }
    let offset = if numeric && rest.0.starts_with(|c: char| c == '+' || c == '-' || c.is_ascii_digit()) {
        numeric_zone(rest)?
    } else {
        0
    };
    rest.skip_spaces();
    // `+00:00 UTC` gives the same zone twice; `+01:00 UTC` contradicts itself.
    if offset == 0 {
        rest.try_read(|rest| {
            let name = rest.word()?;
            ["z", "zulu", "utc", "gmt", "ut"].contains(&name.to_ascii_lowercase().as_str()).then_some(())
        });
    }
    Some(offset)
}

/// `+01:00`, `-0630`, `-6`. As in UDUNITS, no sign means `+`.
fn numeric_zone(rest: &mut Cursor) -> Option<i64> {
    let sign = if rest.0.starts_with('-') { -1 } else { 1 };
    if rest.0.starts_with(['+', '-']) {
        rest.skip(1);
    }
    let digits = rest.digits()?;
    let (hours, minutes) = if rest.eat(':') {
        (digits, rest.digits()?)
    } else {
        digits
            .split_at_checked(digits.len().saturating_sub(2))
            .filter(|_| digits.len() > 2)
            .unwrap_or((digits, "0"))
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60 * SECOND)
}

/// A number of at most nine digits.
fn number(digits: &str) -> Option<i64> {
    digits.parse().ok().filter(|_| digits.len() <= 9)
}

/// The position of a name in a list, counted from 1. The name may be abbreviated to its first
/// letters, at least three.
fn named(word: &str, names: &[&str]) -> Option<i64> {
    let word = word.to_ascii_lowercase();
    let found = names.iter().position(|name| word.len() >= 3 && name.starts_with(&word))?;
    i64::try_from(found + 1).ok()
}

/// The unread part of a text.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    /// Reads something, or does not move.
    fn try_read<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut ahead = *self;
        let value = read(&mut ahead)?;
        *self = ahead;
        Some(value)
    }

    fn skip(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or("");
    }

    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn eat(&mut self, letter: char) -> bool {
        let rest = self.0.strip_prefix(letter);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn digits(&mut self) -> Option<&'a str> {
        self.run(|c| c.is_ascii_digit())
    }

    fn word(&mut self) -> Option<&'a str> {
        self.run(|c| c.is_ascii_alphabetic())
    }

    fn run(&mut self, belongs: impl Fn(char) -> bool) -> Option<&'a str> {
        let end = self.0.find(|c| !belongs(c)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at_checked(end).filter(|(run, _)| !run.is_empty())?;
        self.0 = rest;
        Some(run)
    }
}
