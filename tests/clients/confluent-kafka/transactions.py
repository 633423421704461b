"""The transactions of tests/clients/README.md, by confluent-kafka, which is librdkafka."""
import os
import sys
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

RUN = f"{int(time.time() * 1000):x}-{os.getpid()}"
IN, OUT, GROUP, ID = (f"librdkafka-{what}-{RUN}" for what in ("in", "out", "group", "id"))
PARTITIONS, INPUTS = 2, 40
COMMON = {"bootstrap.servers": os.environ["BOOTSTRAP"], "client.id": "transactions"}

admin = AdminClient(COMMON)
for created in admin.create_topics([NewTopic(IN, num_partitions=1), NewTopic(OUT, num_partitions=PARTITIONS)]).values():
    created.result(30)

committed = []


def producer(transactional_id=None):
    config = COMMON | {"linger.ms": 0, "retry.backoff.ms": 20}
    return Producer(config | ({"transactional.id": transactional_id} if transactional_id else {}))


def send(to, what):
    for at in range(10):
        to.produce(OUT, value=f"{what}-{at}", partition=at % PARTITIONS)


def commit(what):
    committed.extend(f"{what}-{at}" for at in range(10))


def ends(isolation):
    asked = {TopicPartition(OUT, partition): OffsetSpec.latest() for partition in range(PARTITIONS)}
    found = admin.list_offsets(asked, isolation_level=isolation)
    return {partition.partition: result.result(30).offset for partition, result in found.items()}


def read(isolation):
    """Everything up to the end that this kind of reader is told of."""
    level = IsolationLevel.READ_COMMITTED if isolation == "read_committed" else IsolationLevel.READ_UNCOMMITTED
    last = ends(level)
    consumer = Consumer(COMMON | {
        "group.id": f"{GROUP}-readers",
        "isolation.level": isolation,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 50,
    })
    consumer.assign([TopicPartition(OUT, partition, 0) for partition in range(PARTITIONS)])
    found, at_end, deadline = [], set(), time.monotonic() + 30
    while len(at_end) < PARTITIONS:
        assert time.monotonic() < deadline, f"timed out reading to {last}"
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            at_end.add(message.partition())
        else:
            found.append(message.value().decode())
    consumer.close()
    return sorted(found)


def sees(when):
    deadline = time.monotonic() + 30
    while len(found := read("read_committed")) < len(committed) and time.monotonic() < deadline:
        pass
    assert found == sorted(committed), f"{when}: {found} and not {sorted(committed)}"


first = producer(ID)
first.init_transactions(30)

# All of a commit is seen.
first.begin_transaction()
send(first, "first")
first.commit_transaction(30)
commit("first")
sees("a commit")

# An open transaction is not, nor what comes behind it.
first.begin_transaction()
send(first, "aborted")
assert first.flush(30) == 0
plain = producer()
for partition in range(PARTITIONS):
    plain.produce(OUT, value="plain", partition=partition)
assert plain.flush(30) == 0
sees("before the transaction that is open")
assert sum(ends(IsolationLevel.READ_COMMITTED).values()) < sum(ends(IsolationLevel.READ_UNCOMMITTED).values())

# Nothing of an abort is seen, but by those who read everything.
first.abort_transaction(30)
committed.extend(["plain"] * PARTITIONS)
sees("after an abort")
assert sum(value.startswith("aborted") for value in read("read_uncommitted")) == 10

# A new producer of the same id fences the old one, and ends what it had open.
first.begin_transaction()
send(first, "zombie")
assert first.flush(30) == 0
second = producer(ID)
second.init_transactions(30)
try:
    send(first, "zombie")
    first.commit_transaction(30)
    sys.exit("a zombie committed")
except KafkaException as fenced:
    assert fenced.args[0].name() in ("_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"), fenced
second.begin_transaction()
send(second, "second")
second.commit_transaction(30)
commit("second")
sees("a zombie was fenced")

# From topic to topic, exactly once: every third batch is aborted and read again.
for at in range(INPUTS):
    plain.produce(IN, value=f"in-{at}")
assert plain.flush(30) == 0
consumer = Consumer(COMMON | {
    "group.id": GROUP,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "fetch.wait.max.ms": 50,
})
consumer.subscribe([IN])
batch, done, deadline = 0, 0, time.monotonic() + 60
while done < INPUTS:
    assert time.monotonic() < deadline, f"timed out after {done} inputs"
    messages = [message for message in consumer.consume(4, 0.5) if not message.error()]
    if not messages:
        continue
    second.begin_transaction()
    for message in messages:
        second.produce(OUT, value=f"out of {message.value().decode()}", partition=message.offset() % PARTITIONS)
    after = messages[-1].offset() + 1
    second.send_offsets_to_transaction([TopicPartition(IN, 0, after)], consumer.consumer_group_metadata(), 30)
    batch += 1
    if batch % 3 == 0:
        second.abort_transaction(30)
        consumer.seek(TopicPartition(IN, 0, messages[0].offset()))
    else:
        second.commit_transaction(30)
        done += len(messages)
        assert [partition.offset for partition in consumer.committed([TopicPartition(IN, 0)], 30)] == [after]
consumer.close()
committed.extend(f"out of in-{at}" for at in range(INPUTS))
sees("what was transformed")
known = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)])[GROUP].result(30)
assert [partition.offset for partition in known.topic_partitions] == [INPUTS], known.topic_partitions

for deleted in admin.delete_topics([IN, OUT]).values():
    deleted.result(30)
print(f"{len(committed)} records committed")
sys.stdout.flush()
# The fenced producer has nothing left to wait for.
os._exit(0)
