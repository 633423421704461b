//! The topics of `--topic`, created as any client would create them: by a request.

use shore_base::{ConnId, NodeId};
use shore_sim::World;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{self, Frame};
use shore_wire::messages::create_topics_request::CreatableTopic;
use shore_wire::messages::{CreateTopicsRequest, CreateTopicsResponse, StrBytes};

const VERSION: i16 = 7;

pub struct TopicMaker {
    topics: Vec<(String, u32)>,
    conn: Option<ConnId>,
}

impl TopicMaker {
    pub fn new(topics: Vec<(String, u32)>) -> Self {
        Self { topics, conn: None }
    }

    pub fn start(&mut self, world: &mut World, node: NodeId) {
        if self.topics.is_empty() {
            return;
        }
        let mut request = CreateTopicsRequest::default();
        request.timeout_ms = 30_000;
        for (name, partitions) in &self.topics {
            let mut topic = CreatableTopic::default();
            topic.name = StrBytes::from(name.clone());
            topic.num_partitions = *partitions as i32;
            topic.replication_factor = -1;
            request.topics.push(topic);
        }
        let request = frame::encode_request(0, Some("shore"), VERSION, &request).expect("the version has every field");
        let conn = world.connect(node, "127.0.0.1");
        self.conn = Some(conn);
        world.receive(conn, request.body());
    }

    pub fn is_mine(&self, conn: ConnId) -> bool {
        self.conn == Some(conn)
    }

    /// A topic that is there already is as good as one just made.
    pub fn answered(&mut self, world: &mut World, frame: &Frame) -> Result<(), String> {
        let wrong = |what: String| format!("cannot create the topics of --topic: {what}");
        let (_, response) = frame::decode_response::<CreateTopicsResponse>(frame.body(), VERSION)
            .map_err(|error| wrong(error.to_string()))?;
        for topic in &response.topics {
            let good = [ErrorCode::None.code(), ErrorCode::TopicAlreadyExists.code()];
            if !good.contains(&topic.error_code) {
                let name = ErrorCode::from_code(topic.error_code).map_or("unknown error", ErrorCode::name);
                let message = topic.error_message.as_ref().map_or("", |message| message.as_str());
                return Err(wrong(format!("{}: {name}: {message}", topic.name.as_str())));
            }
        }
        self.topics.clear();
        world.disconnect(self.conn.take().expect("only an answer to us gets here"));
        Ok(())
    }

    pub fn are_there(&self) -> bool {
        self.topics.is_empty()
    }
}
