"""The life of tests/clients/README.md, lived by kafka-python."""
import json
import os
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import NewTopic

with open(os.environ["KEYS"], encoding="utf-8") as file:
    KEYS = json.load(file)
PARTITIONS, PARTITION_OF = KEYS["partitions"], KEYS["of"]
NAMES = list(PARTITION_OF)
CODECS = [None, "gzip", "snappy", "lz4", "zstd"]
PER_CODEC = 50
RUN = f"{int(time.time() * 1000):x}-{os.getpid()}"
TOPIC, GROUP = f"kafka-python-{RUN}", f"kafka-python-group-{RUN}"
COMMON = {"bootstrap_servers": os.environ["BOOTSTRAP"], "client_id": "life"}

admin = KafkaAdminClient(**COMMON)
admin.create_topics([NewTopic(TOPIC, num_partitions=PARTITIONS, replication_factor=1)])
producers = {
    codec: KafkaProducer(**COMMON, acks="all", enable_idempotence=True, compression_type=codec, linger_ms=5)
    for codec in CODECS
}

acked, seen = {}, {}


def produce(phase):
    for codec, producer in producers.items():
        waiting = []
        for index in range(PER_CODEC):
            sent = {
                "key": NAMES[index % len(NAMES)].encode(),
                "value": None if index % 10 == 9 else f"{phase}/{codec}/{index}:".encode() + b"kafka " * 40,
                "headers": [("id", f"{phase}/{codec}/{index}".encode()), ("bytes", bytes([0, 255, index])),
                            ("twice", b"1"), ("twice", b"2")],
            }
            waiting.append((producer.send(TOPIC, **sent), sent))
        producer.flush(30)
        for future, sent in waiting:
            done = future.get(30)
            place = (done.partition, done.offset)
            assert done.partition == PARTITION_OF[sent["key"].decode()], (place, sent["key"])
            assert place not in acked, f"{place} was acknowledged twice"
            acked[place] = sent
    for partition in range(PARTITIONS):
        offsets = sorted(offset for where, offset in acked if where == partition)
        assert offsets == list(range(len(offsets))), f"holes in partition {partition}"


def ends():
    return {partition: sum(1 for where, _ in acked if where == partition) for partition in range(PARTITIONS)}


class Member:
    def __init__(self, name):
        self.name = name
        self.consumer = KafkaConsumer(
            TOPIC, **COMMON, group_id=GROUP, auto_offset_reset="earliest", enable_auto_commit=False,
            session_timeout_ms=10_000, heartbeat_interval_ms=300, fetch_max_wait_ms=100)

    def poll(self):
        for messages in self.consumer.poll(timeout_ms=20).values():
            for message in messages:
                place = (message.partition, message.offset)
                sent = acked[place]
                assert place not in seen, f"{place} was seen by {seen[place]} and again by {self.name}"
                assert (message.key, message.value) == (sent["key"], sent["value"])
                assert list(message.headers) == sent["headers"]
                seen[place] = self.name

    def assigned(self):
        return sorted(partition.partition for partition in self.consumer.assignment())

    def commit(self):
        now = ends()
        self.consumer.commit({
            TopicPartition(TOPIC, partition): OffsetAndMetadata(now[partition], f"by {self.name}", -1)
            for partition in self.assigned()
        })


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
committed = admin.list_group_offsets([GROUP])[GROUP]
assert {where.partition: each.offset for where, each in committed.items()} == ends(), committed
assert {each.metadata for each in committed.values()} == {"by first"}
produce("back")
back = Member("back")
until("the member that came back reads what is new", [back], all_seen)
places = [TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)]
assert {where.partition: end for where, end in back.consumer.end_offsets(places).items()} == ends()
assert set(back.consumer.beginning_offsets(places).values()) == {0}
back.consumer.close()
admin.delete_topics([TOPIC])
print(f"{len(acked)} records, {' '.join(codec or 'none' for codec in CODECS)}")
