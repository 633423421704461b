"""Old clients, as librdkafka still plays them: told how old the broker is, it asks for no versions and sends formats 0 and 1."""
import os
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

RUN = f"{int(time.time() * 1000):x}-{os.getpid()}"
AGES = ["0.8.2", "0.9.0", "0.10.0"]
CODECS = ["none", "gzip", "snappy", "lz4"]
PER_CODEC = 50

admin = AdminClient({"bootstrap.servers": os.environ["BOOTSTRAP"]})
count = 0
for age in AGES:
    topic = f"librdkafka-{age}-{RUN}"
    admin.create_topics([NewTopic(topic, num_partitions=1)])[topic].result(30)
    old = {
        "bootstrap.servers": os.environ["BOOTSTRAP"],
        "api.version.request": False,
        "broker.version.fallback": age,
        # It warns that it will not be able to for long.
        "log_level": 3,
    }
    acked = []
    # Messages before 0.10 have no timestamps.
    began = int(time.time() * 1000) if age == "0.10.0" else None
    for codec in CODECS:
        producer = Producer(old | {"compression.type": codec, "linger.ms": 5})

        def delivered(error, message):
            assert error is None, error
            assert message.offset() == len(acked), (message.offset(), len(acked))
            acked.append((message.key(), message.value()))

        for index in range(PER_CODEC):
            value = None if index % 10 == 9 else f"{age}/{codec}/{index}:" + "kafka " * 40
            producer.produce(topic, key=None if index % 7 == 6 else f"key-{index}", value=value, on_delivery=delivered)
        assert producer.flush(30) == 0
    consumer = Consumer(old | {"group.id": topic, "enable.auto.commit": False, "fetch.wait.max.ms": 100})
    for begin in [0, 3, 70, 199]:
        consumer.assign([TopicPartition(topic, 0, begin)])
        for offset in range(begin, len(acked)):
            message = consumer.poll(30)
            assert message is not None and message.error() is None, (age, offset, message and message.error())
            assert (message.offset(), message.key(), message.value()) == (offset, *acked[offset]), (age, offset)
            kind, timestamp = message.timestamp()
            assert (kind == 1 and timestamp >= began) if began else kind == 0, (age, kind, timestamp)
    consumer.commit(offsets=[TopicPartition(topic, 0, 70)], asynchronous=False)
    [committed] = consumer.committed([TopicPartition(topic, 0)], timeout=30)
    assert committed.offset == 70, committed
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30) == (0, len(acked))
    consumer.close()
    count += len(acked)
print(f"{count} records, as old as {' '.join(AGES)}, {' '.join(CODECS)}")
