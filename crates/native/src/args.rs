//! The command line of `shore`.

use shore_base::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use shore_broker::Durability;

pub const HELP: &str = "\
A Kafka broker behind a TCP port.

Usage: shore serve [OPTION]...
       shore --help | --version

Options of serve:
  --port PORT             The port to listen on; 0 picks a free one [default: 9092]
  --listen ADDRESS        The address to listen on; may be given more than once
                          [default: 127.0.0.1 and ::1]
  --advertise HOST:PORT   What clients are told to connect to
                          [default: 127.0.0.1, or the address listened on, and its port]
  --data DIR              Keep everything in this directory; without it, in memory. It may be a log
                          directory that Apache Kafka wrote, of a cluster of one node
  --durability LEVEL      What an acknowledgement waits for: memory (nothing), written (a killed
                          process loses nothing) or synced (a loss of power loses nothing)
                          [default: written with --data, memory without]
  --memory-ceiling BYTES  Without --data: how much log is kept; past it the oldest segments go.
                          With --data: how much of it is cached. Takes K, M and G
                          [default: 1G; with --data 256M]
  --topic NAME:PARTITIONS Create this topic if it is not there; may be given more than once
  --config KEY=VALUE      A broker config, as in server.properties; may be given more than once
  --help                  Print this
  --version               Print the version

When it is ready it prints one line: `shore ready: HOST:PORT cluster=ID data=memory` (or the directory).
Ctrl-C and SIGTERM close it cleanly; a second one ends it at once.

Exit codes: 0 closed cleanly, 1 it cannot go on, 2 a bad command line, 3 cannot listen,
4 the directory cannot be used, 5 another process uses the directory, 130 ended by a second Ctrl-C.
";

#[derive(Debug, PartialEq)]
pub enum Command {
    Help,
    Version,
    Serve(Serve),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    pub port: u16,
    /// Empty means loopback.
    pub listen: Vec<IpAddr>,
    pub advertise: Option<(String, u16)>,
    pub data: Option<PathBuf>,
    pub durability: Durability,
    pub memory_ceiling: u64,
    pub topics: Vec<(String, u32)>,
    pub configs: BTreeMap<String, String>,
}

/// Reads a command line, without the program's name.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut args = args.into_iter();
    match args.next().as_deref() {
        None | Some("--help" | "-h" | "help") => Ok(Command::Help),
        Some("--version" | "-V") => Ok(Command::Version),
        Some("serve") => parse_serve(args),
        Some(other) => Err(format!("there is no command `{other}`; try `shore serve`")),
    }
}

fn parse_serve(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
    let (mut durability, mut memory_ceiling) = (None, None);
    let mut serve = Serve {
        port: 9092,
        listen: Vec::new(),
        advertise: None,
        data: None,
        durability: Durability::Memory,
        memory_ceiling: 0,
        topics: Vec::new(),
        configs: BTreeMap::new(),
    };
    while let Some(arg) = args.next() {
        let (flag, mut attached) = match arg.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        if matches!(flag.as_str(), "--help" | "-h") {
            return Ok(Command::Help);
        }
        let mut value = || attached.take().or_else(|| args.next()).ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--port" => serve.port = parse_port(&value()?)?,
            "--listen" => serve.listen.push(parse_address(&value()?)?),
            "--advertise" => serve.advertise = Some(parse_host_port(&value()?)?),
            "--data" => serve.data = Some(PathBuf::from(value()?)),
            "--durability" => durability = Some(parse_durability(&value()?)?),
            "--memory-ceiling" => memory_ceiling = Some(parse_bytes(&value()?)?),
            "--topic" => serve.topics.push(parse_topic(&value()?)?),
            "--config" => {
                let config = value()?;
                let (key, value) = config
                    .split_once('=')
                    .filter(|(key, _)| !key.is_empty())
                    .ok_or_else(|| format!("--config takes key=value, not `{config}`"))?;
                serve.configs.insert(key.to_owned(), value.to_owned());
            }
            _ => return Err(format!("there is no option `{flag}`; `shore --help` lists them")),
        }
    }
    let fitting = if serve.data.is_some() { Durability::Written } else { Durability::Memory };
    serve.durability = durability.unwrap_or(fitting);
    serve.memory_ceiling = memory_ceiling.unwrap_or(if serve.data.is_some() { 256 << 20 } else { 1 << 30 });
    if serve.data.is_none() && serve.durability != Durability::Memory {
        return Err("--durability written and synced need --data".to_owned());
    }
    Ok(Command::Serve(serve))
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("a port is a number from 0 to 65535, not `{text}`"))
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        _ => bare.parse().map_err(|_| format!("--listen takes an IP address, not `{text}`")),
    }
}

fn parse_host_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("--advertise takes host:port, not `{text}`");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|&port| port != 0).ok_or_else(wrong)?;
    if host.is_empty() { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

fn parse_durability(text: &str) -> Result<Durability, String> {
    match text {
        "memory" => Ok(Durability::Memory),
        "written" => Ok(Durability::Written),
        "synced" => Ok(Durability::Synced),
        _ => Err(format!("--durability is memory, written or synced, not `{text}`")),
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("a size is a number with an optional K, M or G, not `{text}`");
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn parse_topic(text: &str) -> Result<(String, u32), String> {
    let (name, partitions) = text.rsplit_once(':').unwrap_or((text, "1"));
    match partitions.parse() {
        Ok(partitions) if partitions > 0 && !name.is_empty() => Ok((name.to_owned(), partitions)),
        _ => Err(format!("--topic takes name:partitions, not `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(line: &str) -> Result<Serve, String> {
        match parse(format!("serve {line}").split_whitespace().map(str::to_owned))? {
            Command::Serve(serve) => Ok(serve),
            other => panic!("{line} is not a serve: {other:?}"),
        }
    }

    #[test]
    fn every_option_is_read() {
        let serve = serve(
            "--port 0 --listen ::1 --listen=[::] --advertise [::1]:29092 --data /d --durability synced \
             --memory-ceiling 64M --topic orders:3 --topic clicks --config a.b=c=d",
        )
        .unwrap();
        assert_eq!(serve.port, 0);
        assert_eq!(serve.listen, ["::1".parse::<IpAddr>().unwrap(), "::".parse().unwrap()]);
        assert_eq!(serve.advertise, Some(("::1".to_owned(), 29092)));
        assert_eq!(serve.data, Some(PathBuf::from("/d")));
        assert_eq!(serve.durability, Durability::Synced);
        assert_eq!(serve.memory_ceiling, 64 << 20);
        assert_eq!(serve.topics, [("orders".to_owned(), 3), ("clicks".to_owned(), 1)]);
        assert_eq!(serve.configs["a.b"], "c=d");
    }

    #[test]
    fn an_acknowledgement_waits_for_the_write_where_there_is_a_directory() {
        assert_eq!(serve("").unwrap().durability, Durability::Memory);
        assert_eq!(serve("--data d").unwrap().durability, Durability::Written);
        assert_eq!(serve("--data d --durability memory").unwrap().durability, Durability::Memory);
    }

    #[test]
    fn wrong_values_are_named() {
        let cases = [
            ("--port 70000", "a port is a number from 0 to 65535, not `70000`"),
            ("--port", "--port needs a value"),
            ("--prot 1", "there is no option `--prot`; `shore --help` lists them"),
            ("--listen example.org", "--listen takes an IP address, not `example.org`"),
            ("--advertise example.org", "--advertise takes host:port, not `example.org`"),
            ("--advertise :9092", "--advertise takes host:port, not `:9092`"),
            ("--durability disk", "--durability is memory, written or synced, not `disk`"),
            ("--durability synced", "--durability written and synced need --data"),
            ("--memory-ceiling 1T", "a size is a number with an optional K, M or G, not `1T`"),
            ("--topic orders:0", "--topic takes name:partitions, not `orders:0`"),
            ("--config retention", "--config takes key=value, not `retention`"),
        ];
        for (line, message) in cases {
            assert_eq!(serve(line).unwrap_err(), message, "{line}");
        }
    }
}
