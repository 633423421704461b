//! A world of one node, its outside connections, and the files if they are kept in memory.

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{ConnId, Instant, Wall};
use shore_log::memory::MemoryStore;
use shore_sim::{Action, Disk, Outward, World};

use crate::connection::Connection;
use crate::inputs::{self, Input, Reader};
use crate::options::{NODE, Options};
use crate::outputs::Outputs;

pub struct Cluster {
    world: World,
    wall_offset: Wall,
    /// The files, where the host keeps none.
    memory: Option<MemoryStore>,
    max_frame_bytes: usize,
    /// By the host's number.
    connections: BTreeMap<u32, Connection>,
    /// The host's number of each connection of the world.
    numbers: BTreeMap<ConnId, u32>,
}

impl Cluster {
    pub fn new(options: Options, wall_offset: Wall) -> Self {
        let memory = options.memory.then(MemoryStore::new);
        Self::start(options, wall_offset, memory)
    }

    /// Puts another node in place of this one, as after a kill. What is in memory stays.
    pub fn restart(&mut self, options: Options, wall_offset: Wall) {
        let memory = self.memory.take();
        *self = Self::start(options, wall_offset, memory);
    }

    fn start(options: Options, wall_offset: Wall, memory: Option<MemoryStore>) -> Self {
        let mut world = World::without_clients(options.node.seed);
        world.set_wall(wall_offset);
        world.boot(options.node, Disk::External);
        Self {
            world,
            wall_offset,
            memory,
            max_frame_bytes: options.max_frame_bytes,
            connections: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Lets time pass until `now`, takes the inputs, and returns what is to be done.
    pub fn turn(&mut self, now: Instant, wall_offset: Wall, inputs: Bytes) -> Result<Vec<u8>, String> {
        self.world.advance(now);
        if wall_offset != self.wall_offset {
            self.wall_offset = wall_offset;
            self.world.set_wall(wall_offset.at(now));
        }
        let mut outputs = Outputs::new();
        let mut reader = Reader::new(inputs);
        while let Some(input) = inputs::next(&mut reader)? {
            self.take(input, &mut outputs)?;
        }
        while let Some(outward) = self.world.poll() {
            self.hand_out(outward, &mut outputs);
        }
        Ok(outputs.finish(self.world.next_due().map(|(due, _)| due)))
    }

    fn take(&mut self, input: Input, outputs: &mut Outputs) -> Result<(), String> {
        match input {
            Input::Connect { connection, peer } => {
                let conn = self.world.connect(NODE, &peer);
                self.numbers.insert(conn, connection);
                self.connections.insert(connection, Connection::new(conn, self.max_frame_bytes));
            }
            Input::Data { connection, bytes } => {
                self.with(connection, outputs, |client, world| client.receive(bytes, world));
            }
            Input::Disconnect { connection } => self.disconnect(connection),
            Input::Store { node, reply } => self.world.store_reply(node, reply),
            Input::Stop => self.world.act(Action::StopNode { node: NODE })?,
        }
        Ok(())
    }

    /// Gives a connection something to do, and closes it if that cannot be done.
    fn with(
        &mut self,
        connection: u32,
        outputs: &mut Outputs,
        act: impl FnOnce(&mut Connection, &mut World) -> Result<(), String>,
    ) {
        let Some(client) = self.connections.get_mut(&connection) else { return };
        match act(client, &mut self.world) {
            Ok(()) => {
                if let Some(muted) = client.mute_change() {
                    outputs.mute(connection, muted);
                }
            }
            Err(reason) => {
                self.disconnect(connection);
                outputs.close(connection, &reason);
            }
        }
    }

    fn disconnect(&mut self, connection: u32) {
        if let Some(client) = self.connections.remove(&connection) {
            self.numbers.remove(&client.conn);
            self.world.disconnect(client.conn);
        }
    }

    fn hand_out(&mut self, outward: Outward, outputs: &mut Outputs) {
        match outward {
            Outward::Respond { conn, frame } => {
                if let Some(&connection) = self.numbers.get(&conn) {
                    outputs.respond(connection, &frame);
                    self.with(connection, outputs, Connection::answered);
                }
            }
            Outward::Close { conn, reason } => {
                if let Some(connection) = self.numbers.remove(&conn) {
                    self.connections.remove(&connection);
                    outputs.close(connection, &reason);
                }
            }
            Outward::Store { node, request } => match &mut self.memory {
                Some(memory) => {
                    let reply = memory.carry_out(request);
                    self.world.store_reply(node, reply);
                }
                None => outputs.store(node, &request),
            },
            Outward::Log { line, .. } => outputs.log(&line),
            Outward::Ready { .. } => outputs.ready(),
            Outward::Stopped { .. } => outputs.stopped(),
        }
    }
}
