//! How much there was to check: a run in which nothing happens proves nothing.

use std::fmt;

/// The counts, each with the words after its number.
macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident: $words:literal,)*) => {
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            fn all(&self) -> Vec<(u64, &'static str)> {
                vec![$((self.$name, $words)),*]
            }
        }
    };
}

counts! {
    produced: "records produced",
    acknowledged: "acknowledged",
    failed: "given up",
    consumed: "consumed",
    commits: "commits",
    rebalances: "assignments",
    /// Of either kind.
    crashes: "crashes",
    power_losses: "of them without power",
    full_disks: "full disks",
    failing_disks: "failing disks",
    slow_disks: "slow disks",
    cut_links: "cut links",
    slow_links: "slow links",
    dropped_connections: "connections dropped",
    /// APIs of which a client speaks no newer version than some.
    old_versions: "old versions",
    admin_calls: "answers to the admin",
    topics_deleted: "topics deleted",
    log_starts: "log starts moved",
    cleanings: "logs cleaned",
    static_returns: "static members back",
    expiries: "groups' offsets expired",
    /// Batches that were answered with KAFKA_STORAGE_ERROR.
    storage_errors: "batches refused by the store",
    /// Fetches of a partition that were answered with OFFSET_OUT_OF_RANGE.
    out_of_range: "reads out of range",
    transactions_committed: "transactions committed",
    transactions_aborted: "aborted",
    /// Fenced by another, or of no use otherwise.
    producers_lost: "transactional producers lost",
    read_committed: "records read committed",
}

impl Counts {
    /// Disks that got full or began to fail.
    pub fn disk_faults(&self) -> u64 {
        self.full_disks + self.failing_disks
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.all().into_iter().map(|(count, words)| format!("{count} {words}")).collect();
        f.write_str(&told.join(", "))
    }
}
