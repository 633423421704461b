//! The directory of `--data`: one process uses it at a time, and it remembers whose cluster it is. It is
//! one that `shore` made, or a log directory of an Apache Kafka node that is broker and controller.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shore_base::{NodeId, Uuid};
use shore_log::storage::FileName;

use crate::serve::{Failure, NODE};

/// Held open, and with it the lock, as long as the process lives.
pub struct Directory {
    path: PathBuf,
    _lock: File,
}

/// The node that a directory belongs to, and where its files are.
pub struct Owner {
    pub node_id: NodeId,
    pub cluster_id: Uuid,
    /// What the store is below.
    pub root: PathBuf,
    /// The node's directory in it.
    pub directory: FileName,
}

impl Directory {
    /// Creates the directory if it is not there and takes its lock.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let unusable = |error: io::Error| unusable(path, &error);
        fs::create_dir_all(path).map_err(unusable)?;
        // Apache Kafka's name for it.
        let lock =
            File::options().create(true).truncate(false).write(true).open(path.join(".lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => match kafka_holder(&lock).or_else(|| node_holder(path)) {
                None => Ok(Self { path: path.to_owned(), _lock: lock }),
                Some(pid) => Err(Failure::Locked(format!("{} is in use by process {pid}", path.display()))),
            },
            Err(TryLockError::WouldBlock) => {
                Err(Failure::Locked(format!("{} is in use by another process", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose files are in here; a new directory belongs to the cluster `fresh`, and to the node that is `wanted`.
    /// Refuses to give the files of one node to another.
    pub fn owner(&self, fresh: Uuid, wanted: Option<NodeId>) -> Result<Owner, Failure> {
        let properties = self.path.join("meta.properties");
        let owner = match fs::read_to_string(&properties) {
            Ok(text) => self.apache_kafka(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let node_id = self.stored_node()?.or(wanted).unwrap_or(NODE);
                Owner {
                    node_id,
                    cluster_id: self.cluster_id(fresh)?,
                    root: self.path.clone(),
                    directory: node_directory(node_id),
                }
            }
            Err(error) => return Err(unusable(&properties, &error)),
        };
        match wanted.filter(|&wanted| wanted != owner.node_id) {
            Some(wanted) => Err(Failure::Directory(format!(
                "Stored node id {} doesn't match previous node id {wanted} in {}",
                owner.node_id,
                self.path.display()
            ))),
            None => Ok(owner),
        }
    }

    /// The node whose folder is in here.
    fn stored_node(&self) -> Result<Option<NodeId>, Failure> {
        let unusable = |error: io::Error| unusable(&self.path, &error);
        for entry in fs::read_dir(&self.path).map_err(unusable)? {
            let name = entry.map_err(unusable)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix('n')?.parse().ok());
            if let Some(id) = id.filter(|id| self.path.join(node_directory(NodeId(*id)).as_str()).is_dir()) {
                return Ok(Some(NodeId(id)));
            }
        }
        Ok(None)
    }

    /// A log directory of Apache Kafka is what `n1/d0` is to us. Its `meta.properties` says whose it is.
    fn apache_kafka(&self, properties: &str) -> Result<Owner, Failure> {
        let refuse = |why: &str| Failure::Directory(format!("{}: {why}", self.path.display()));
        let property =
            |name: &str| properties.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::trim);
        let node_id = property("node.id").and_then(|id| id.parse().ok());
        let cluster_id = property("cluster.id").and_then(Uuid::parse);
        let (Some(node_id), Some(cluster_id)) = (node_id, cluster_id) else {
            return Err(refuse(
                "meta.properties names no node.id and cluster.id, as those of KRaft nodes do (a directory from the \
                 time of ZooKeeper has to be migrated by Apache Kafka 3.9 first)",
            ));
        };
        let metadata = self.path.join("__cluster_metadata-0");
        if !metadata.is_dir() {
            return Err(refuse("there is no __cluster_metadata-0: only a node that is broker and controller has one"));
        }
        let quorum = fs::read_to_string(metadata.join("quorum-state")).unwrap_or_default();
        let voters = quorum.matches("\"voterId\"").count();
        if voters > 1 {
            return Err(refuse(&format!(
                "quorum-state names {voters} voters: only a cluster of one node can be opened"
            )));
        }
        let whole = self.path.canonicalize().map_err(|error| unusable(&self.path, &error))?;
        let (Some(root), Some(name)) = (whole.parent(), whole.file_name().and_then(|name| name.to_str())) else {
            return Err(refuse("a log directory of Apache Kafka needs a name in UTF-8"));
        };
        Ok(Owner { node_id: NodeId(node_id), cluster_id, root: root.to_owned(), directory: FileName::new(name) })
    }

    fn cluster_id(&self, fresh: Uuid) -> Result<Uuid, Failure> {
        let file = self.path.join("cluster.id");
        match fs::read_to_string(&file) {
            Ok(text) => Uuid::parse(text.trim())
                .ok_or_else(|| Failure::Directory(format!("{} holds no cluster id", file.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let unusable = |error: io::Error| unusable(&file, &error);
                let draft = file.with_extension("id.tmp");
                let mut written = File::create(&draft).map_err(unusable)?;
                writeln!(written, "{fresh}").and_then(|()| written.sync_all()).map_err(unusable)?;
                fs::rename(&draft, &file).map_err(unusable)?;
                Ok(fresh)
            }
            Err(error) => Err(unusable(&file, &error)),
        }
    }
}

/// Where a node's files are below what it stores in.
pub fn node_directory(node: NodeId) -> FileName {
    FileName::new(format!("n{node}/d0"))
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::Directory(format!("cannot use {}: {error}", path.display()))
}

/// The process that has the record lock of POSIX, which is what Java takes; ours if nobody has it.
#[cfg(unix)]
fn kafka_holder(lock: &File) -> Option<u32> {
    use nix::fcntl::{FcntlArg, fcntl};
    let whole = || nix::libc::flock {
        l_type: nix::libc::F_WRLCK as _,
        l_whence: nix::libc::SEEK_SET as _,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(lock, FcntlArg::F_SETLK(&whole())).err()?;
    let mut held = whole();
    fcntl(lock, FcntlArg::F_GETLK(&mut held)).ok()?;
    u32::try_from(held.l_pid).ok()
}

/// Elsewhere Java's locks are those of the standard library.
#[cfg(not(unix))]
fn kafka_holder(_lock: &File) -> Option<u32> {
    None
}

/// The process of the npm package that has the directory open. Node knows no locks of the operating
/// system, so it leaves a file that names it; whether that process still runs, only Linux says in a path.
fn node_holder(path: &Path) -> Option<u32> {
    let claim = fs::read_to_string(path.join(".lock.node")).ok()?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let (_, rest) = claim.split_once("\"pid\":")?;
    let pid = rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
    let is_here = claim.contains(&format!("\"host\":\"{}\"", host.trim()));
    (is_here && Path::new("/proc").join(u32::to_string(&pid)).exists()).then_some(pid)
}
