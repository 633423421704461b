//! Regular expressions over transactional ids, as RE2/J reads them: a whole id matches, in time linear in its length.
//!
//! An expression becomes a program of steps whose jumps are relative, so that a repeated part is copied. All places of
//! the program that the text read so far can have come to are followed at once. There are no tables of Unicode: classes
//! of its (`\pL`) are refused, and `(?i)` goes for the letters of ASCII.

use std::iter::{Peekable, once};
use std::str::Chars;

/// Steps that an expression may come to; RE2/J knows no limit but its memory.
const MOST_STEPS: usize = 1 << 16;
/// Groups within groups.
const MOST_DEPTH: usize = 250;
const MOST_REPEATS: usize = 1000;

/// A compiled expression.
#[derive(Debug, Default)]
pub(crate) struct Pattern {
    steps: Vec<Step>,
    sets: Vec<Set>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A character of this set.
    One(usize),
    /// Nothing, where this holds.
    Here(Place),
    /// On at either of two steps, so many further on.
    Either(isize, isize),
}

#[derive(Clone, Copy, Debug)]
enum Place {
    TextStart,
    TextEnd,
    LineStart,
    LineEnd,
    WordEdge,
    NoWordEdge,
}

/// Characters in these ranges, or all others.
#[derive(Debug, Default)]
struct Set {
    ranges: Vec<(char, char)>,
    negated: bool,
}

/// An expression that RE2/J refuses, or that goes beyond what is read here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

impl Pattern {
    pub fn compile(text: &str) -> Result<Self, Invalid> {
        let flags = Flags::default();
        let mut parser = Parser { text: text.chars().peekable(), flags, pattern: Self::default(), names: Vec::new() };
        parser.pattern.steps = parser.alternatives(0)?;
        match parser.text.next() {
            None => Ok(parser.pattern),
            Some(_) => Err(Invalid),
        }
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let mut places = vec![0];
        let (mut before, mut rest) = (None, text.chars());
        loop {
            let after = rest.clone().next();
            let (ones, is_end) = self.follow(&mut places, before, after);
            let Some(next) = rest.next() else { return is_end };
            places = ones
                .into_iter()
                .filter(|&at| matches!(self.steps[at], Step::One(set) if self.sets[set].contains(next)))
                .map(|at| at + 1)
                .collect();
            before = Some(next);
        }
    }

    /// The characters to read next, from everywhere that these places lead to, and whether they lead to the end.
    fn follow(&self, places: &mut Vec<usize>, before: Option<char>, after: Option<char>) -> (Vec<usize>, bool) {
        let mut seen = vec![false; self.steps.len() + 1];
        let mut ones = Vec::new();
        while let Some(at) = places.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            match self.steps.get(at) {
                None => {}
                Some(Step::One(_)) => ones.push(at),
                Some(Step::Here(place)) if place.holds(before, after) => places.push(at + 1),
                Some(Step::Here(_)) => {}
                Some(Step::Either(one, other)) => {
                    places.extend([at.wrapping_add_signed(*one), at.wrapping_add_signed(*other)]);
                }
            }
        }
        (ones, seen[self.steps.len()])
    }
}

impl Place {
    fn holds(self, before: Option<char>, after: Option<char>) -> bool {
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        let is_edge = is_word(before) != is_word(after);
        match self {
            Self::TextStart => before.is_none(),
            Self::TextEnd => after.is_none(),
            Self::LineStart => before.is_none_or(|c| c == '\n'),
            Self::LineEnd => after.is_none_or(|c| c == '\n'),
            Self::WordEdge => is_edge,
            Self::NoWordEdge => !is_edge,
        }
    }
}

impl Set {
    fn contains(&self, c: char) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&c)) != self.negated
    }

    fn add(&mut self, first: char, last: char, flags: Flags) {
        self.ranges.push((first, last));
        if flags.folds {
            for (from, to, others) in [('a', 'z', 'A'), ('A', 'Z', 'a')] {
                let (first, last) = (first.max(from), last.min(to));
                if first <= last {
                    let folded = |c: char| (c as u8 - from as u8 + others as u8) as char;
                    self.ranges.push((folded(first), folded(last)));
                }
            }
        }
    }

    /// Adds a class, whose ranges ascend, or what it lacks.
    fn add_class(&mut self, class: &[(char, char)], negated: bool) {
        if !negated {
            return self.ranges.extend_from_slice(class);
        }
        let starts = once('\0').chain(class.iter().map(|&(_, last)| (last as u8 + 1) as char));
        let ends = class.iter().map(|&(first, _)| first).chain(once('\0'));
        for (start, end) in starts.zip(ends) {
            match end {
                '\0' => self.ranges.push((start, char::MAX)),
                _ if start < end => self.ranges.push((start, (end as u8 - 1) as char)),
                _ => {}
            }
        }
    }
}

const DIGITS: &[(char, char)] = &[('0', '9')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const SPACE: &[(char, char)] = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];

/// The classes of POSIX, by name.
const CLASSES: &[(&str, &[(char, char)])] = &[
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", DIGITS),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORD),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

#[derive(Clone, Copy, Default)]
struct Flags {
    /// `(?i)`
    folds: bool,
    /// `(?m)`: ^ and $ are at lines, too.
    lines: bool,
    /// `(?s)`: a dot is a line's end, too.
    dot_all: bool,
}

struct Parser<'a> {
    text: Peekable<Chars<'a>>,
    flags: Flags,
    /// Its sets, while its steps are put together.
    pattern: Pattern,
    /// Of groups.
    names: Vec<String>,
}

type Parsed<T> = Result<T, Invalid>;

impl Parser<'_> {
    fn is_next(&mut self, wanted: char) -> bool {
        self.text.next_if_eq(&wanted).is_some()
    }

    /// Whether exactly this follows, which is then read.
    fn is_ahead(&mut self, wanted: &str) -> bool {
        let mut ahead = self.text.clone();
        let is_it = wanted.chars().all(|c| ahead.next() == Some(c));
        if is_it {
            self.text = ahead;
        }
        is_it
    }

    /// Parts with `|` between them, up to a closing parenthesis or the end.
    fn alternatives(&mut self, depth: usize) -> Parsed<Vec<Step>> {
        if depth > MOST_DEPTH {
            return Err(Invalid);
        }
        let mut parts = vec![self.sequence(depth)?];
        while self.is_next('|') {
            parts.push(self.sequence(depth)?);
        }
        let mut all = parts.pop().unwrap_or_default();
        while let Some(part) = parts.pop() {
            let mut either = vec![Step::Either(1, part.len() as isize + 2)];
            either.extend(part);
            either.push(jump(all.len() as isize + 1));
            either.append(&mut all);
            all = either;
        }
        if all.len() > MOST_STEPS { Err(Invalid) } else { Ok(all) }
    }

    fn sequence(&mut self, depth: usize) -> Parsed<Vec<Step>> {
        let mut steps = Vec::new();
        // Where the part begins that a repetition is of.
        let mut last = None;
        let mut is_repeated = false;
        while let Some(&next) = self.text.peek() {
            if matches!(next, '|' | ')') {
                break;
            }
            if let Some((least, most)) = self.repetition()? {
                let from: usize = last.filter(|_| !is_repeated).ok_or(Invalid)?;
                let part = steps.split_off(from);
                repeat(&mut steps, &part, least, most)?;
                is_repeated = true;
                continue;
            }
            is_repeated = false;
            last = self.atom(&mut steps, depth)?.or(last);
        }
        Ok(steps)
    }

    /// How often, where a repetition follows.
    fn repetition(&mut self) -> Parsed<Option<(usize, Option<usize>)>> {
        let times = match self.text.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                let brace = self.text.clone();
                let times = self.counts();
                let Some((least, most)) = times else {
                    // Braces of another kind are text.
                    self.text = brace;
                    return Ok(None);
                };
                if least.max(most.unwrap_or(0)) > MOST_REPEATS || most.is_some_and(|most| most < least) {
                    return Err(Invalid);
                }
                self.is_next('?');
                return Ok(Some((least, most)));
            }
            _ => return Ok(None),
        };
        self.text.next();
        self.is_next('?');
        Ok(Some(times))
    }

    /// `{2}`, `{2,}` or `{2,3}`.
    fn counts(&mut self) -> Option<(usize, Option<usize>)> {
        self.is_next('{');
        let least = self.number()?;
        let most = match self.is_next(',') {
            false => Some(least),
            true if self.text.peek() == Some(&'}') => None,
            true => Some(self.number()?),
        };
        self.is_next('}').then_some((least, most))
    }

    /// Digits, of which the first is no idle zero.
    fn number(&mut self) -> Option<usize> {
        let first = self.text.next_if(char::is_ascii_digit)?;
        let mut number = first as usize - '0' as usize;
        while let Some(digit) = self.text.next_if(char::is_ascii_digit) {
            if first == '0' {
                return None;
            }
            number = (number * 10 + digit as usize - '0' as usize).min(MOST_REPEATS + 1);
        }
        Some(number)
    }

    /// Reads one part. Returns where it begins; flags of their own are none.
    fn atom(&mut self, steps: &mut Vec<Step>, depth: usize) -> Parsed<Option<usize>> {
        let flags = self.flags;
        let from = Some(steps.len());
        let Some(next) = self.text.next() else { return Err(Invalid) };
        match next {
            '(' => {
                let is_group = self.group_head()?;
                if is_group {
                    steps.extend(self.alternatives(depth + 1)?);
                    self.flags = flags;
                    if !self.is_next(')') {
                        return Err(Invalid);
                    }
                }
                return Ok(from.filter(|_| is_group));
            }
            '^' => steps.push(Step::Here(if flags.lines { Place::LineStart } else { Place::TextStart })),
            '$' => steps.push(Step::Here(if flags.lines { Place::LineEnd } else { Place::TextEnd })),
            '.' => {
                let ranges = if flags.dot_all { Vec::new() } else { vec![('\n', '\n')] };
                self.one(steps, Set { ranges, negated: true });
            }
            '[' => {
                let class = self.class()?;
                self.one(steps, class);
            }
            '\\' if self.is_next('Q') => {
                let mut last = None;
                while self.text.peek().is_some() && !self.is_ahead("\\E") {
                    last = Some(steps.len());
                    let c = self.text.next().ok_or(Invalid)?;
                    self.literal(steps, c);
                }
                return Ok(last);
            }
            '\\' => self.escaped_atom(steps)?,
            c => self.literal(steps, c),
        }
        Ok(from)
    }

    fn one(&mut self, steps: &mut Vec<Step>, set: Set) {
        steps.push(Step::One(self.pattern.sets.len()));
        self.pattern.sets.push(set);
    }

    fn literal(&mut self, steps: &mut Vec<Step>, c: char) {
        let mut set = Set::default();
        set.add(c, c, self.flags);
        self.one(steps, set);
    }

    /// What follows an opening parenthesis: `?:`, a name, flags. Whether it opens a group.
    fn group_head(&mut self) -> Parsed<bool> {
        if !self.is_next('?') {
            return Ok(true);
        }
        if self.is_ahead("P<") || self.is_next('<') {
            let mut name = String::new();
            while let Some(c) = self.text.next_if(|&c| c.is_ascii_alphanumeric() || c == '_') {
                name.push(c);
            }
            if name.is_empty() || !self.is_next('>') || self.names.contains(&name) {
                return Err(Invalid);
            }
            self.names.push(name);
            return Ok(true);
        }
        let (mut set, mut is_bare) = (true, false);
        loop {
            let c = self.text.next().ok_or(Invalid)?;
            match c {
                'i' => self.flags.folds = set,
                'm' => self.flags.lines = set,
                's' => self.flags.dot_all = set,
                // Greedy or not, the whole has to match.
                'U' => {}
                '-' if set => (set, is_bare) = (false, true),
                ':' | ')' if !is_bare => return Ok(c == ':'),
                _ => return Err(Invalid),
            }
            is_bare &= c == '-';
        }
    }

    /// A part that begins with a backslash, which is read.
    fn escaped_atom(&mut self, steps: &mut Vec<Step>) -> Parsed<()> {
        let place = match self.text.peek() {
            Some('A') => Place::TextStart,
            Some('z') => Place::TextEnd,
            Some('b') => Place::WordEdge,
            Some('B') => Place::NoWordEdge,
            _ => {
                let mut set = Set::default();
                if !self.perl_class(&mut set) {
                    let c = self.escape()?;
                    set.add(c, c, self.flags);
                }
                self.one(steps, set);
                return Ok(());
            }
        };
        self.text.next();
        steps.push(Step::Here(place));
        Ok(())
    }

    /// `d`, `s`, `w` after a backslash, or what they lack.
    fn perl_class(&mut self, set: &mut Set) -> bool {
        let class = match self.text.peek().map(char::to_ascii_lowercase) {
            Some('d') => DIGITS,
            Some('s') => SPACE,
            Some('w') => WORD,
            _ => return false,
        };
        let negated = self.text.next().is_some_and(|c| c.is_ascii_uppercase());
        set.add_class(class, negated);
        true
    }

    /// The character that an escape stands for, its backslash being read.
    fn escape(&mut self) -> Parsed<char> {
        let c = self.text.next().ok_or(Invalid)?;
        let code = match c {
            // One digit alone would be what a group matched.
            '1'..='7' if !self.text.peek().is_some_and(|next| next.is_digit(8)) => return Err(Invalid),
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.text.next_if(|next| next.is_digit(8)) else { break };
                    code = code * 8 + digit.to_digit(8).unwrap_or(0);
                }
                code
            }
            'x' if self.is_next('{') => {
                let (mut code, mut digits) = (0, 0);
                while let Some(digit) = self.text.next_if(char::is_ascii_hexdigit) {
                    code = (code * 16 + digit.to_digit(16).unwrap_or(0)).min(char::MAX as u32 + 1);
                    digits += 1;
                }
                if digits == 0 || !self.is_next('}') {
                    return Err(Invalid);
                }
                code
            }
            'x' => {
                let mut digit = || self.text.next().and_then(|c| c.to_digit(16)).ok_or(Invalid);
                digit()? * 16 + digit()?
            }
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            c if c.is_ascii_alphanumeric() => return Err(Invalid),
            c => return Ok(c),
        };
        char::from_u32(code).ok_or(Invalid)
    }

    /// `[a-z]`, its opening bracket being read.
    fn class(&mut self) -> Parsed<Set> {
        let mut set = Set { negated: self.is_next('^'), ranges: Vec::new() };
        let mut is_first = true;
        while is_first || !self.is_next(']') {
            is_first = false;
            if self.named_class(&mut set)? {
                continue;
            }
            let mut ahead = self.text.clone();
            if ahead.next() == Some('\\') && ahead.peek().is_some_and(|c| "dDsSwW".contains(*c)) {
                self.text.next();
                self.perl_class(&mut set);
                continue;
            }
            let first = self.class_character()?;
            let mut last = first;
            let mut ahead = self.text.clone();
            // A hyphen before the closing bracket is one.
            if ahead.next() == Some('-') && ahead.next() != Some(']') {
                self.text.next();
                last = self.class_character()?;
            }
            if last < first {
                return Err(Invalid);
            }
            set.add(first, last, self.flags);
        }
        Ok(set)
    }

    fn class_character(&mut self) -> Parsed<char> {
        match self.text.next() {
            Some('\\') => self.escape(),
            other => other.ok_or(Invalid),
        }
    }

    /// `[:alpha:]` or `[:^alpha:]`, where it is closed.
    fn named_class(&mut self, set: &mut Set) -> Parsed<bool> {
        let mut ahead = self.text.clone();
        if (ahead.next(), ahead.next()) != (Some('['), Some(':')) {
            return Ok(false);
        }
        let mut name = String::new();
        while !name.ends_with(":]") {
            match ahead.next() {
                Some(c) => name.push(c),
                None => return Ok(false),
            }
        }
        let negated = name.starts_with('^');
        let mut bare = &name[usize::from(negated)..name.len() - 2];
        if self.flags.folds && matches!(bare, "lower" | "upper") {
            bare = "alpha";
        }
        let class = CLASSES.iter().find(|(known, _)| *known == bare).ok_or(Invalid)?;
        set.add_class(class.1, negated);
        self.text = ahead;
        Ok(true)
    }
}

const fn jump(by: isize) -> Step {
    Step::Either(by, by)
}

/// Appends a part so many times at least, and at most, or without end.
fn repeat(steps: &mut Vec<Step>, part: &[Step], least: usize, most: Option<usize>) -> Parsed<()> {
    let times = most.unwrap_or(least + 1);
    if steps.len() + (part.len() + 2) * times > MOST_STEPS {
        return Err(Invalid);
    }
    let length = part.len() as isize;
    for _ in 0..least {
        steps.extend_from_slice(part);
    }
    for _ in least..times {
        steps.push(Step::Either(1, length + 1 + isize::from(most.is_none())));
        steps.extend_from_slice(part);
        if most.is_none() {
            steps.push(jump(-length - 1));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(hexadecimal: &str) -> String {
        let digits = &hexadecimal[1..];
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        String::from_utf8((0..digits.len()).step_by(2).map(byte).collect()).expect("text")
    }

    /// Classes of Unicode.
    const REFUSED: &[&str] = &["\\pL", "\\p{Greek}", "[\\pL]"];

    #[test]
    fn expressions_match_what_re2j_matches() {
        let table = include_str!("../../../../tests/wire/re2j.txt");
        let mut rows: Vec<&str> = table.lines().skip(1).collect();
        let texts: Vec<String> = rows.pop().expect("a last line").split(' ').skip(1).map(text).collect();
        assert!(rows.len() > 150 && texts.len() > 60);
        for row in rows {
            let (expression, expected) = row.split_once(' ').expect("an expression and a result");
            let expression = text(expression);
            let compiled = Pattern::compile(&expression);
            assert_eq!(compiled.is_err(), expected == "error" || REFUSED.contains(&&*expression), "{expression}");
            let Ok(pattern) = compiled else { continue };
            // Letters beyond ASCII do not fold.
            let is_exact = |text: &str| text.is_ascii() || !expression.contains("(?i");
            for (text, expected) in texts.iter().zip(expected.chars()).filter(|(text, _)| is_exact(text)) {
                assert_eq!(pattern.matches(text), expected == '1', "{expression} on {text:?}");
            }
        }
    }

    #[test]
    fn what_would_grow_too_large_or_deep_is_refused() {
        for expression in ["(((a{1000}){1000}){1000}){1000}".to_owned(), "(".repeat(100_000), "a".repeat(70_000)] {
            assert!(Pattern::compile(&expression).is_err());
        }
        let pattern = Pattern::compile("(a*)*(a|a)*b").expect("an expression");
        assert!(!pattern.matches(&"a".repeat(20_000)));
    }
}
