//! Actions as text: one line per action, below a line that names the version.
//!
//! ```text
//! shore-script 1
//! create-topic name=orders partitions=3
//! @0s add-producer name=shop topic=orders rate=10
//! @2s add-consumer name=books group=accounts topics=orders pace=50
//! @30s kill-node node=1
//! ```
//! `@` is virtual time since the script began; a line without one comes at the time of the line before.
//! Parsing is strict: an unknown verb, an unknown or missing field or a bad value is an error that says
//! what was wrong and what would be right.

use std::fmt;

use core::time::Duration;
use shore_base::NodeId;
use shore_base::collections::BTreeMap;
use shore_client::{Acks, Assignor, Isolation, OffsetReset};
use shore_wire::api::ApiKey;
use shore_wire::compress::Codec;

use crate::action::{Action, ConsumerSpec, CopierSpec, OneRecord, ProducerSpec, TransactionSpec};
use crate::generator::Generator;
use crate::speed::Speed;

const HEADER: &str = "shore-script 1";

/// An action and when it is done, counted from the script's beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptLine {
    pub at: Duration,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ScriptError {}

/// Reads a whole script. Empty lines and lines that begin with `#` are skipped.
pub fn parse_script(text: &str) -> Result<Vec<ScriptLine>, ScriptError> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let mut lines = lines.by_ref().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    match lines.next() {
        Some((_, HEADER)) => {}
        Some((line, other)) => {
            let message = format!("a script begins with \"{HEADER}\", not with \"{other}\"");
            return Err(ScriptError { line, message });
        }
        None => {
            return Err(ScriptError { line: 1, message: format!("a script begins with \"{HEADER}\"; this is empty") });
        }
    }
    let mut script: Vec<ScriptLine> = Vec::new();
    for (line, text) in lines {
        let fail = |message| ScriptError { line, message };
        let before = script.last().map_or(Duration::ZERO, |line| line.at);
        let (at, rest) = match text.strip_prefix('@') {
            Some(text) => {
                let (time, rest) = text.split_once(' ').ok_or_else(|| fail("a time without an action".into()))?;
                (parse_duration(time).map_err(fail)?, rest.trim())
            }
            None => (before, text),
        };
        if at < before {
            return Err(fail(format!("@{} is before the line above (@{})", Span(at), Span(before))));
        }
        script.push(ScriptLine { at, action: rest.parse().map_err(fail)? });
    }
    Ok(script)
}

pub fn format_script(lines: &[ScriptLine]) -> String {
    let mut text = format!("{HEADER}\n");
    for line in lines {
        text.push_str(&format!("@{} {}\n", Span(line.at), line.action));
    }
    text
}

impl core::str::FromStr for Action {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (verb, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let mut fields = Fields::parse(verb, rest)?;
        let action = parse_action(verb, &mut fields)?;
        fields.finish()?;
        Ok(action)
    }
}

fn parse_action(verb: &str, f: &mut Fields) -> Result<Action, String> {
    Ok(match verb {
        "create-topic" => Action::CreateTopic {
            topic: f.need("name", text)?,
            partitions: f.get("partitions", number)?.unwrap_or(-1),
            replication: f.get("replication", number)?.unwrap_or(-1),
            configs: f.take_prefixed("config."),
        },
        "delete-topic" => Action::DeleteTopic { topic: f.need("name", text)? },
        "alter-configs" => Action::AlterConfigs {
            topic: f.need("topic", text)?,
            set: f.take_prefixed("config."),
            reset: f.get("reset", names)?.unwrap_or_default(),
        },
        "create-partitions" => {
            Action::CreatePartitions { topic: f.need("topic", text)?, total: f.need("total", number)? }
        }
        "delete-records" => Action::DeleteRecords {
            topic: f.need("topic", text)?,
            partition: f.need("partition", number)?,
            offset: f.get("offset", number)?.unwrap_or(-1),
        },
        "add-producer" => Action::AddProducer(parse_producer(f)?),
        "add-consumer" => Action::AddConsumer(parse_consumer(f)?),
        "add-copier" => Action::AddCopier(parse_copier(f)?),
        "limit-version" => Action::LimitVersion {
            actor: f.need("actor", text)?,
            api: f.need("api", api)?,
            newest: f.need("newest", number)?,
        },
        "set-rate" => Action::SetRate { actor: f.need("actor", text)?, millirate: f.need("rate", rate)? },
        "set-pace" => Action::SetPace { actor: f.need("actor", text)?, records_per_second: f.need("pace", number)? },
        "pause-consumer" => Action::PauseConsumer { actor: f.need("actor", text)? },
        "resume-consumer" => Action::ResumeConsumer { actor: f.need("actor", text)? },
        "seek" => Action::Seek {
            actor: f.need("actor", text)?,
            topic: f.need("topic", text)?,
            partition: f.need("partition", number)?,
            offset: f.need("offset", number)?,
        },
        "commit" => Action::Commit { actor: f.need("actor", text)? },
        "stop" => Action::Stop { actor: f.need("actor", text)? },
        "vanish" => Action::Vanish { actor: f.need("actor", text)? },
        "send" => Action::Send(OneRecord {
            topic: f.need("topic", text)?,
            partition: f.get("partition", number)?,
            key: f.get("key", text)?,
            value: f.get("value", text)?,
            headers: f.take_prefixed("header."),
        }),
        "kill-node" => Action::KillNode { node: f.need("node", node)? },
        "lose-power" => Action::LosePower { node: f.need("node", node)? },
        "stop-node" => Action::StopNode { node: f.need("node", node)? },
        "start-node" => Action::StartNode { node: f.need("node", node)? },
        "crash-in-calls" => Action::CrashInCalls {
            node: f.need("node", node)?,
            calls: f.need("calls", number)?,
            power: f.get("power", truth)?.unwrap_or(false),
        },
        "cut-link" => Action::CutLink { actor: f.need("actor", text)?, node: f.need("node", node)? },
        "heal-link" => Action::HealLink { actor: f.need("actor", text)?, node: f.need("node", node)? },
        "drop-connections" => Action::DropConnections {
            actor: f.need("actor", text)?,
            node: f.need("node", node)?,
            answers: f.get("answers", number)?.unwrap_or(0),
        },
        "set-latency" => Action::SetLatency {
            actor: f.get("actor", text)?,
            latency: f.need("latency", parse_duration)?,
            jitter: f.get("jitter", parse_duration)?.unwrap_or(Duration::ZERO),
        },
        "slow-disk" => Action::SlowDisk { node: f.need("node", node)?, latency: f.need("latency", parse_duration)? },
        "fill-disk" => Action::FillDisk { node: f.need("node", node)? },
        "fail-disk" => Action::FailDisk { node: f.need("node", node)? },
        "heal-disk" => Action::HealDisk { node: f.need("node", node)? },
        "set-speed" => Action::SetSpeed(f.need("speed", speed)?),
        _ => return Err(format!("no action \"{verb}\": it is one of {}", VERBS.join(", "))),
    })
}

const VERBS: [&str; 32] = [
    "create-topic",
    "delete-topic",
    "alter-configs",
    "create-partitions",
    "delete-records",
    "add-producer",
    "add-consumer",
    "add-copier",
    "limit-version",
    "set-rate",
    "set-pace",
    "pause-consumer",
    "resume-consumer",
    "seek",
    "commit",
    "stop",
    "vanish",
    "send",
    "kill-node",
    "lose-power",
    "stop-node",
    "start-node",
    "crash-in-calls",
    "cut-link",
    "heal-link",
    "drop-connections",
    "set-latency",
    "slow-disk",
    "fill-disk",
    "fail-disk",
    "heal-disk",
    "set-speed",
];

fn parse_producer(f: &mut Fields) -> Result<ProducerSpec, String> {
    let mut spec = ProducerSpec::new(f.need("name", text)?, f.need("topic", text)?);
    f.set("rate", rate, &mut spec.millirate)?;
    f.set("generator", Generator::parse, &mut spec.generator)?;
    f.set("keys", number, &mut spec.keys)?;
    spec.limit = f.get("limit", number)?;
    f.set("acks", acks, &mut spec.acks)?;
    f.set("idempotence", truth, &mut spec.idempotence)?;
    f.set("linger", parse_duration, &mut spec.linger)?;
    f.set("batch", number, &mut spec.batch_bytes)?;
    f.set("compression", codec, &mut spec.compression)?;
    if let Some(id) = f.get("transactional-id", text)? {
        let mut transactions = TransactionSpec::new(id);
        parse_transactions(f, &mut transactions)?;
        spec.transactions = Some(transactions);
    }
    Ok(spec)
}

/// What a transactional producer has besides its id.
fn parse_transactions(f: &mut Fields, spec: &mut TransactionSpec) -> Result<(), String> {
    f.set("transaction-records", number, &mut spec.records)?;
    f.set("transaction-aborts", percent, &mut spec.abort_percent)?;
    f.set("transaction-timeout", parse_duration, &mut spec.timeout)
}

fn parse_copier(f: &mut Fields) -> Result<CopierSpec, String> {
    let mut spec = CopierSpec::new(
        f.need::<String>("name", text)?,
        f.need::<String>("group", text)?,
        f.need::<String>("from", text)?,
        f.need::<String>("to", text)?,
    );
    f.set("transactional-id", text, &mut spec.transactions.id)?;
    parse_transactions(f, &mut spec.transactions)?;
    f.set("pace", number, &mut spec.records_per_second)?;
    f.set("session-timeout", parse_duration, &mut spec.session_timeout)?;
    Ok(spec)
}

fn parse_consumer(f: &mut Fields) -> Result<ConsumerSpec, String> {
    let topics: String = f.need("topics", text)?;
    let mut spec = ConsumerSpec::new(f.need::<String>("name", text)?, f.need::<String>("group", text)?, "");
    spec.topics = topics.split(',').map(str::to_owned).collect();
    f.set("pace", number, &mut spec.records_per_second)?;
    f.set("assignors", assignors, &mut spec.assignors)?;
    f.set("reset", reset, &mut spec.reset)?;
    f.set("isolation", isolation, &mut spec.isolation)?;
    f.set("auto-commit", optional_duration, &mut spec.auto_commit)?;
    f.set("session-timeout", parse_duration, &mut spec.session_timeout)?;
    spec.instance_id = f.get("instance", text)?;
    Ok(spec)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTopic { topic, partitions, replication, configs } => {
                write!(f, "create-topic name={} partitions={partitions} replication={replication}", Quoted(topic))?;
                for (name, value) in configs {
                    write!(f, " config.{name}={}", Quoted(value))?;
                }
                Ok(())
            }
            Self::DeleteTopic { topic } => write!(f, "delete-topic name={}", Quoted(topic)),
            Self::AlterConfigs { topic, set, reset } => {
                write!(f, "alter-configs topic={}", Quoted(topic))?;
                for (name, value) in set {
                    write!(f, " config.{name}={}", Quoted(value))?;
                }
                match reset.is_empty() {
                    true => Ok(()),
                    false => write!(f, " reset={}", Quoted(&reset.join(","))),
                }
            }
            Self::CreatePartitions { topic, total } => {
                write!(f, "create-partitions topic={} total={total}", Quoted(topic))
            }
            Self::DeleteRecords { topic, partition, offset } => {
                write!(f, "delete-records topic={} partition={partition} offset={offset}", Quoted(topic))
            }
            Self::AddProducer(spec) => {
                write!(f, "add-producer name={} topic={} rate=", Quoted(&spec.name), Quoted(&spec.topic))?;
                write_rate(f, spec.millirate)?;
                write!(f, " generator={} keys={}", spec.generator, spec.keys)?;
                if let Some(limit) = spec.limit {
                    write!(f, " limit={limit}")?;
                }
                write!(
                    f,
                    " acks={} idempotence={} linger={} batch={} compression={}",
                    spec.acks,
                    spec.idempotence,
                    Span(spec.linger),
                    spec.batch_bytes,
                    spec.compression.name()
                )?;
                spec.transactions.as_ref().map_or(Ok(()), |spec| write_transactions(f, spec))
            }
            Self::AddCopier(spec) => {
                write!(f, "add-copier name={} group={}", Quoted(&spec.name), Quoted(&spec.group))?;
                write!(f, " from={} to={}", Quoted(&spec.from), Quoted(&spec.to))?;
                write_transactions(f, &spec.transactions)?;
                write!(f, " pace={} session-timeout={}", spec.records_per_second, Span(spec.session_timeout))
            }
            Self::AddConsumer(spec) => {
                write!(
                    f,
                    "add-consumer name={} group={} topics={} pace={} assignors={} reset={} isolation={} auto-commit=",
                    Quoted(&spec.name),
                    Quoted(&spec.group),
                    Quoted(&spec.topics.join(",")),
                    spec.records_per_second,
                    spec.assignors.iter().map(|assignor| assignor.name()).collect::<Vec<_>>().join(","),
                    spec.reset,
                    spec.isolation
                )?;
                match spec.auto_commit {
                    Some(every) => write!(f, "{}", Span(every))?,
                    None => f.write_str("off")?,
                }
                write!(f, " session-timeout={}", Span(spec.session_timeout))?;
                match &spec.instance_id {
                    Some(id) => write!(f, " instance={}", Quoted(id)),
                    None => Ok(()),
                }
            }
            Self::LimitVersion { actor, api, newest } => {
                write!(f, "limit-version actor={} api={} newest={newest}", Quoted(actor), api.name())
            }
            Self::SetRate { actor, millirate } => {
                write!(f, "set-rate actor={} rate=", Quoted(actor))?;
                write_rate(f, *millirate)
            }
            Self::SetPace { actor, records_per_second } => {
                write!(f, "set-pace actor={} pace={records_per_second}", Quoted(actor))
            }
            Self::PauseConsumer { actor } => write!(f, "pause-consumer actor={}", Quoted(actor)),
            Self::ResumeConsumer { actor } => write!(f, "resume-consumer actor={}", Quoted(actor)),
            Self::Seek { actor, topic, partition, offset } => {
                write!(f, "seek actor={} topic={} partition={partition} offset={offset}", Quoted(actor), Quoted(topic))
            }
            Self::Commit { actor } => write!(f, "commit actor={}", Quoted(actor)),
            Self::Stop { actor } => write!(f, "stop actor={}", Quoted(actor)),
            Self::Vanish { actor } => write!(f, "vanish actor={}", Quoted(actor)),
            Self::Send(record) => {
                write!(f, "send topic={}", Quoted(&record.topic))?;
                if let Some(partition) = record.partition {
                    write!(f, " partition={partition}")?;
                }
                if let Some(key) = &record.key {
                    write!(f, " key={}", Quoted(key))?;
                }
                if let Some(value) = &record.value {
                    write!(f, " value={}", Quoted(value))?;
                }
                record.headers.iter().try_for_each(|(name, value)| write!(f, " header.{name}={}", Quoted(value)))
            }
            Self::KillNode { node } => write!(f, "kill-node node={node}"),
            Self::LosePower { node } => write!(f, "lose-power node={node}"),
            Self::StopNode { node } => write!(f, "stop-node node={node}"),
            Self::StartNode { node } => write!(f, "start-node node={node}"),
            Self::CrashInCalls { node, calls, power } => {
                write!(f, "crash-in-calls node={node} calls={calls} power={power}")
            }
            Self::CutLink { actor, node } => write!(f, "cut-link actor={} node={node}", Quoted(actor)),
            Self::HealLink { actor, node } => write!(f, "heal-link actor={} node={node}", Quoted(actor)),
            Self::DropConnections { actor, node, answers } => {
                write!(f, "drop-connections actor={} node={node} answers={answers}", Quoted(actor))
            }
            Self::SetLatency { actor, latency, jitter } => {
                f.write_str("set-latency")?;
                if let Some(actor) = actor {
                    write!(f, " actor={}", Quoted(actor))?;
                }
                write!(f, " latency={} jitter={}", Span(*latency), Span(*jitter))
            }
            Self::SlowDisk { node, latency } => write!(f, "slow-disk node={node} latency={}", Span(*latency)),
            Self::FillDisk { node } => write!(f, "fill-disk node={node}"),
            Self::FailDisk { node } => write!(f, "fail-disk node={node}"),
            Self::HealDisk { node } => write!(f, "heal-disk node={node}"),
            Self::SetSpeed(speed) => match speed {
                Speed::Paused => f.write_str("set-speed speed=paused"),
                Speed::Fast => f.write_str("set-speed speed=fast"),
                Speed::Percent(percent) => write!(f, "set-speed speed={percent}%"),
            },
        }
    }
}

fn write_transactions(f: &mut fmt::Formatter<'_>, spec: &TransactionSpec) -> fmt::Result {
    let TransactionSpec { id, records, abort_percent, timeout } = spec;
    write!(f, " transactional-id={} transaction-records={records}", Quoted(id))?;
    write!(f, " transaction-aborts={abort_percent}% transaction-timeout={}", Span(*timeout))
}

fn write_rate(f: &mut fmt::Formatter<'_>, millirate: u64) -> fmt::Result {
    write!(f, "{}", millirate / 1_000)?;
    match millirate % 1_000 {
        0 => Ok(()),
        rest => f.write_str(format!(".{rest:03}").trim_end_matches('0')),
    }
}

/// The fields of one line, taken one by one; what is left over is an error.
struct Fields<'a> {
    verb: &'a str,
    fields: BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn parse(verb: &'a str, mut rest: &str) -> Result<Self, String> {
        let mut fields = BTreeMap::new();
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                return Ok(Self { verb, fields, known: Vec::new() });
            }
            let Some((name, after)) = rest.split_once('=') else {
                return Err(format!("\"{rest}\" is not name=value"));
            };
            if name.contains(' ') {
                return Err(format!("\"{}\" is not name=value", name.split(' ').next().unwrap_or(name)));
            }
            let (value, after) = unquote(after)?;
            if fields.insert(name.to_owned(), value).is_some() {
                return Err(format!("{name} is given twice"));
            }
            rest = after;
        }
    }

    fn get<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
        self.known.push(name);
        match self.fields.remove(name) {
            Some(value) => parse(&value).map(Some).map_err(|why| format!("{name}={value}: {why}")),
            None => Ok(None),
        }
    }

    fn need<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
        let verb = self.verb;
        self.get(name, parse)?.ok_or_else(|| format!("{verb} needs {name}="))
    }

    fn set<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
        to: &mut T,
    ) -> Result<(), String> {
        if let Some(value) = self.get(name, parse)? {
            *to = value;
        }
        Ok(())
    }

    fn take_prefixed(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let (taken, left) =
            core::mem::take(&mut self.fields).into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.fields = left;
        let taken: BTreeMap<String, String> = taken;
        taken.into_iter().map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
    }

    fn finish(self) -> Result<(), String> {
        match self.fields.first_key_value() {
            Some((name, _)) => Err(format!("{} has no {name}=: it takes {}", self.verb, self.known.join(", "))),
            None => Ok(()),
        }
    }
}

/// Takes one value off the front: up to a space, or in double quotes with `\"`, `\\` and `\n`.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(' ').unwrap_or((text, ""));
        return Ok((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((index, letter)) = letters.next() {
        match letter {
            '"' => {
                let rest = &quoted[index + 1..];
                return match rest.is_empty() || rest.starts_with(' ') {
                    true => Ok((value, rest)),
                    false => Err(format!("after the closing quote comes a space, not \"{rest}\"")),
                };
            }
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, letter @ ('"' | '\\'))) => value.push(letter),
                _ => return Err("a backslash in quotes stands before \", \\ or n".into()),
            },
            letter => value.push(letter),
        }
    }
    Err("a quote is not closed".into())
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = !self.0.is_empty() && !self.0.contains([' ', '"', '\n', '\r', '\t']);
        if plain {
            return f.write_str(self.0);
        }
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    }
}

/// A duration in the largest unit that says it exactly.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        match micros {
            _ if micros.is_multiple_of(1_000_000) => write!(f, "{}s", micros / 1_000_000),
            _ if micros.is_multiple_of(1_000) => write!(f, "{}ms", micros / 1_000),
            _ => write!(f, "{micros}us"),
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let count = digits.parse::<u64>().ok().filter(|count| *count <= MAX_COUNT);
    match (count, &text[digits.len()..]) {
        (Some(count), "s") => Ok(Duration::from_secs(count)),
        (Some(count), "ms") => Ok(Duration::from_millis(count)),
        (Some(count), "us") => Ok(Duration::from_micros(count)),
        _ => Err(format!("\"{text}\" is not a time: a whole number and s, ms or us, as in 250ms")),
    }
}

/// Keeps times below 30,000 years, so that no sum of them overflows.
const MAX_COUNT: u64 = 1_000_000_000_000;

fn optional_duration(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "off" => Ok(None),
        _ => parse_duration(text).map(Some),
    }
}

fn text(value: &str) -> Result<String, String> {
    match value.is_empty() {
        true => Err("it is empty".into()),
        false => Ok(value.to_owned()),
    }
}

/// Names with commas between.
fn names(value: &str) -> Result<Vec<String>, String> {
    value.split(',').map(text).collect()
}

fn number<T: core::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("\"{value}\" is not a whole number in its range"))
}

fn node(value: &str) -> Result<NodeId, String> {
    number(value).map(NodeId)
}

fn api(value: &str) -> Result<ApiKey, String> {
    let found = ApiKey::ALL.iter().find(|api| api.name() == value).copied();
    found.ok_or_else(|| format!("\"{value}\" is not an API such as Fetch"))
}

/// Records per second with up to three decimals, as records per 1,000 seconds.
fn rate(value: &str) -> Result<u64, String> {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let whole = whole.parse::<u64>().ok().filter(|whole| *whole <= MAX_RATE);
    match whole {
        Some(whole) if digits => Ok(whole * 1_000 + format!("{decimals:0<3}").parse::<u64>().unwrap_or(0)),
        _ => {
            Err(format!("\"{value}\" is not records per second: a number up to {MAX_RATE} with at most three decimals"))
        }
    }
}

fn percent(value: &str) -> Result<u32, String> {
    match value.strip_suffix('%').map(str::parse) {
        Some(Ok(percent)) if percent <= 100 => Ok(percent),
        _ => Err(format!("\"{value}\" is not a share such as 20%")),
    }
}

const MAX_RATE: u64 = 10_000_000;

fn truth(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("\"{value}\" is neither true nor false"))
}

fn acks(value: &str) -> Result<Acks, String> {
    match value {
        "all" | "-1" => Ok(Acks::All),
        "1" => Ok(Acks::Leader),
        "0" => Ok(Acks::None),
        _ => Err(format!("\"{value}\" is not all, 1 or 0")),
    }
}

fn codec(value: &str) -> Result<Codec, String> {
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    let found = codecs.into_iter().find(|codec| codec.name() == value);
    found.ok_or_else(|| format!("\"{value}\" is not none, gzip, snappy, lz4 or zstd"))
}

pub(crate) fn assignors(value: &str) -> Result<Vec<Assignor>, String> {
    let named = |name: &str| {
        let known = || Assignor::ALL.map(Assignor::name).join(", ");
        Assignor::from_name(name).ok_or_else(|| format!("\"{name}\" is not one of {}", known()))
    };
    value.split(',').map(named).collect()
}

fn reset(value: &str) -> Result<OffsetReset, String> {
    match value {
        "earliest" => Ok(OffsetReset::Earliest),
        "latest" => Ok(OffsetReset::Latest),
        "none" => Ok(OffsetReset::None),
        _ => Err(format!("\"{value}\" is not earliest, latest or none")),
    }
}

fn isolation(value: &str) -> Result<Isolation, String> {
    match value {
        "read_committed" => Ok(Isolation::ReadCommitted),
        "read_uncommitted" => Ok(Isolation::ReadUncommitted),
        _ => Err(format!("\"{value}\" is not read_committed or read_uncommitted")),
    }
}

fn speed(value: &str) -> Result<Speed, String> {
    match value {
        "paused" => Ok(Speed::Paused),
        "fast" => Ok(Speed::Fast),
        _ => match value.strip_suffix('%').map(str::parse::<u32>) {
            Some(Ok(percent)) if (1..=100_000).contains(&percent) => Ok(Speed::Percent(percent)),
            _ => Err(format!("\"{value}\" is not paused, fast or a percentage such as 100%")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_as_it_was_written() {
        let lines = [
            "create-topic name=orders partitions=3 replication=1 config.retention.bytes=1000",
            "delete-topic name=orders",
            "alter-configs topic=orders config.retention.ms=1000 reset=cleanup.policy,segment.bytes",
            "create-partitions topic=orders total=6",
            "delete-records topic=orders partition=1 offset=12",
            "add-producer name=shop topic=orders rate=2.5 generator=orders keys=20 limit=100 acks=all idempotence=true linger=5ms batch=16384 compression=none",
            "add-consumer name=a group=g topics=x,y pace=50 assignors=range,cooperative-sticky reset=earliest isolation=read_committed auto-commit=off session-timeout=45s instance=i1",
            "add-producer name=bank topic=orders rate=1 generator=orders keys=20 acks=all idempotence=true linger=5ms batch=16384 compression=none transactional-id=bank-1 transaction-records=5 transaction-aborts=20% transaction-timeout=60s",
            "add-copier name=c group=g from=x to=y transactional-id=c-1 transaction-records=50 transaction-aborts=0% transaction-timeout=10s pace=100 session-timeout=45s",
            "limit-version actor=shop api=OffsetCommit newest=2",
            "set-rate actor=shop rate=0.001",
            "set-pace actor=a pace=10",
            "pause-consumer actor=a",
            "resume-consumer actor=a",
            "seek actor=a topic=x partition=0 offset=12",
            "commit actor=a",
            "stop actor=a",
            "vanish actor=a",
            r#"send topic=x partition=1 key="a b" value="say \"hi\"\n" header.trace=7"#,
            "kill-node node=1",
            "lose-power node=1",
            "stop-node node=1",
            "start-node node=1",
            "crash-in-calls node=1 calls=17 power=true",
            "cut-link actor=a node=1",
            "heal-link actor=a node=1",
            "drop-connections actor=a node=1 answers=3",
            "set-latency actor=a latency=1500us jitter=2ms",
            "slow-disk node=1 latency=20ms",
            "fill-disk node=1",
            "fail-disk node=1",
            "heal-disk node=1",
            "set-speed speed=250%",
        ];
        for line in lines {
            let action: Action = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(action.to_string(), line);
        }
        let mut verbs: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        verbs.sort_unstable();
        verbs.dedup();
        let mut all = VERBS.to_vec();
        all.sort_unstable();
        assert_eq!(verbs, all, "every verb is in this table");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("fly", "no action \"fly\""),
            ("kill-node", "kill-node needs node="),
            ("kill-node node=one", "node=one: \"one\" is not a whole number"),
            ("kill-node node=1 hard=true", "kill-node has no hard=: it takes node"),
            ("kill-node 1", "\"1\" is not name=value"),
            ("kill-node node=1 node=2", "node is given twice"),
            ("set-rate actor=a rate=1.2345", "is not records per second"),
            ("send topic=x value=\"open", "a quote is not closed"),
            ("add-producer name=a topic=x acks=2", "is not all, 1 or 0"),
            ("limit-version actor=a api=Fly newest=2", "\"Fly\" is not an API"),
            ("set-latency latency=5", "is not a time"),
            ("add-consumer name=a group=g topics=x assignors=range,best", "\"best\" is not one of range, roundrobin,"),
            ("add-producer name=a topic=x transaction-records=5", "has no transaction-records="),
            ("add-copier name=a group=g from=x to=y transaction-aborts=101%", "is not a share such as 20%"),
            ("alter-configs topic=x reset=a,,b", "reset=a,,b: it is empty"),
        ];
        for (line, expected) in cases {
            let error = line.parse::<Action>().expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn a_script_has_a_version_and_times_that_do_not_go_back() {
        let text = "shore-script 1\n@0s delete-topic name=x\n@1500ms commit actor=a\n";
        let script = parse_script(text).expect("a good script");
        assert_eq!(format_script(&script), text);
        assert_eq!(parse_script("shore-script 1\n\n# nothing\ncommit actor=a").expect("a comment").len(), 1);
        let cases = [
            ("", "begins with \"shore-script 1\""),
            ("shore-script 2\n", "line 1: a script begins"),
            ("shore-script 1\n@2s commit actor=a\n@1s commit actor=a", "line 3: @1s is before"),
            ("shore-script 1\n@soon commit actor=a", "line 2: \"soon\" is not a time"),
        ];
        for (text, expected) in cases {
            let error = parse_script(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
