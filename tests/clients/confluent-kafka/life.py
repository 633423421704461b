"""The life of tests/clients/README.md, lived by confluent-kafka, which is librdkafka."""
import json
import os
import sys
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

with open(os.environ["KEYS"], encoding="utf-8") as file:
    KEYS = json.load(file)
PARTITIONS, PARTITION_OF = KEYS["partitions"], KEYS["of"]
NAMES = list(PARTITION_OF)
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PER_CODEC = 50
RUN = f"{int(time.time() * 1000):x}-{os.getpid()}"
TOPIC, GROUP = f"librdkafka-{RUN}", f"librdkafka-group-{RUN}"
COMMON = {"bootstrap.servers": os.environ["BOOTSTRAP"], "client.id": "life"}

admin = AdminClient(COMMON)
admin.create_topics([NewTopic(TOPIC, num_partitions=PARTITIONS)])[TOPIC].result(30)
producers = {
    codec: Producer(COMMON | {
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": codec,
        # The partition of a key as every Java client computes it.
        "partitioner": "murmur2_random",
        "linger.ms": 5,
    })
    for codec in CODECS
}

acked, seen = {}, {}


def produce(phase):
    for codec, producer in producers.items():
        def delivered(error, message, sent):
            assert error is None, error
            place = (message.partition(), message.offset())
            assert message.partition() == PARTITION_OF[sent["key"]], (place, sent["key"])
            assert place not in acked, f"{place} was acknowledged twice"
            acked[place] = sent

        for index in range(PER_CODEC):
            sent = {
                "key": NAMES[index % len(NAMES)],
                "value": None if index % 10 == 9 else f"{phase}/{codec}/{index}:" + "kafka " * 40,
                "headers": [("id", f"{phase}/{codec}/{index}".encode()), ("bytes", bytes([0, 255, index])),
                            ("null", None), ("twice", b"1"), ("twice", b"2")],
            }
            producer.produce(TOPIC, key=sent["key"], value=sent["value"], headers=sent["headers"],
                             on_delivery=lambda error, message, sent=sent: delivered(error, message, sent))
        assert producer.flush(30) == 0
    for partition in range(PARTITIONS):
        offsets = sorted(offset for where, offset in acked if where == partition)
        assert offsets == list(range(len(offsets))), f"holes in partition {partition}"


def ends():
    return {partition: sum(1 for where, _ in acked if where == partition) for partition in range(PARTITIONS)}


class Member:
    def __init__(self, name):
        self.name = name
        self.consumer = Consumer(COMMON | {
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 300,
            "fetch.wait.max.ms": 100,
        })
        self.consumer.subscribe([TOPIC])

    def poll(self):
        message = self.consumer.poll(0.02)
        if message is None:
            return
        if message.error():
            raise KafkaException(message.error())
        place = (message.partition(), message.offset())
        sent = acked[place]
        assert place not in seen, f"{place} was seen by {seen[place]} and again by {self.name}"
        assert message.key().decode() == sent["key"]
        assert (message.value() and message.value().decode()) == sent["value"]
        assert message.headers() == sent["headers"]
        seen[place] = self.name

    def assigned(self):
        return sorted(partition.partition for partition in self.consumer.assignment())

    def commit(self):
        now = ends()
        offsets = [TopicPartition(TOPIC, partition, now[partition], f"by {self.name}") for partition in self.assigned()]
        for done in self.consumer.commit(offsets=offsets, asynchronous=False):
            assert done.error is None, done.error


def until(what, members, condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"timed out: {what}: {len(seen)} of {len(acked)}"
        for member in members:
            member.poll()


def all_seen():
    return len(seen) == len(acked)


# Alone.
produce("alone")
first = Member("first")
until("the first member reads everything", [first], all_seen)
first.commit()

# A second member joins: each has half.
second = Member("second")
until("two members share the partitions", [first, second],
      lambda: len(first.assigned()) == len(second.assigned()) == PARTITIONS // 2)
assert sorted(first.assigned() + second.assigned()) == list(range(PARTITIONS))
produce("together")
until("two members read everything", [first, second], all_seen)
for (partition, offset), sent in acked.items():
    if dict(sent["headers"])["id"].startswith(b"together"):
        assert seen[partition, offset] == ("first" if partition in first.assigned() else "second")
first.commit()
second.commit()

# It leaves again: everything is the first one's.
second.consumer.close()
until("one member has every partition", [first], lambda: len(first.assigned()) == PARTITIONS)
produce("alone again")
until("the first member reads everything again", [first], all_seen)
first.commit()
first.consumer.close()

# What was committed is there, and a member that comes back goes on after it.
committed = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)])[GROUP].result(30)
assert {each.partition: each.offset for each in committed.topic_partitions} == ends(), committed.topic_partitions
assert {each.metadata for each in committed.topic_partitions} == {"by first"}
produce("back")
back = Member("back")
until("the member that came back reads what is new", [back], all_seen)
back.consumer.close()

latest = admin.list_offsets({TopicPartition(TOPIC, partition): OffsetSpec.latest() for partition in range(PARTITIONS)},
                            isolation_level=IsolationLevel.READ_COMMITTED)
assert {partition.partition: result.result(30).offset for partition, result in latest.items()} == ends()
group = admin.describe_consumer_groups([GROUP])[GROUP].result(30)
assert group.state.name == "EMPTY", group.state
admin.delete_topics([TOPIC])[TOPIC].result(30)
print(f"{len(acked)} records, {' '.join(CODECS)}")
sys.stdout.flush()
