//! A node of the simulator that a test acts on, with everything that happened. What a test asks of it stands with the test.

use std::time::Duration;

use shore_broker::Durability;
use shore_check::{Checker, run::node_config};
use shore_sim::{Action, Disk, DiskModel, Event, World};

pub struct Run {
    pub world: World,
    pub checker: Checker,
    pub events: Vec<Event>,
}

impl Run {
    pub fn boot() -> Self {
        let mut world = World::new(5);
        world.subscribe();
        world.boot(node_config(5, Durability::Written), Disk::Model(DiskModel::default()));
        Self { world, checker: Checker::default(), events: Vec::new() }
    }

    pub fn act(&mut self, action: Action) {
        self.world.act(action.clone()).unwrap_or_else(|why| panic!("{action}: {why}"));
    }

    /// Lets time pass, in which no promise is broken.
    pub fn pass(&mut self, seconds: u64) {
        let end = self.world.now() + Duration::from_secs(seconds);
        while self.world.next_due().is_some_and(|(due, _)| due <= end) {
            self.step();
        }
        assert_eq!(self.checker.violations(), []);
    }

    /// Lets the next thing happen.
    pub fn step(&mut self) {
        self.world.step();
        for event in self.world.events() {
            self.checker.observe(&event);
            self.events.push(event);
        }
        while self.world.poll().is_some() {}
    }
}
