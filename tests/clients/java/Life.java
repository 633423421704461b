import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

/** The life of tests/clients/README.md, lived by Apache Kafka's own client. */
public class Life {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    static final int PER_CODEC = 50;
    static final String RUN = Long.toString(System.currentTimeMillis(), 36) + "-" + ProcessHandle.current().pid();
    static final String TOPIC = "java-" + RUN, GROUP = "java-group-" + RUN;

    /** Where a key belongs, and so how many partitions there are. */
    static final Map<String, Integer> PARTITION_OF = new LinkedHashMap<>();
    static final int PARTITIONS = 4;

    static final Map<TopicPartition, List<ProducerRecord<String, String>>> acked = new HashMap<>();
    static final Map<TopicPartition, Map<Long, String>> seen = new HashMap<>();

    public static void main(String[] args) throws Exception {
        var pair = Pattern.compile("\"([^\"]+)\": (\\d+),?\\n").matcher(Files.readString(Path.of(System.getenv("KEYS"))));
        while (pair.find()) PARTITION_OF.put(pair.group(1), Integer.parseInt(pair.group(2)));
        PARTITION_OF.remove("partitions");
        for (int partition = 0; partition < PARTITIONS; partition++) {
            acked.put(new TopicPartition(TOPIC, partition), new ArrayList<>());
            seen.put(new TopicPartition(TOPIC, partition), new TreeMap<>());
        }
        try (var admin = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP))) {
            admin.createTopics(List.of(new NewTopic(TOPIC, PARTITIONS, (short) 1))).all().get();
            live(admin);
            admin.deleteTopics(List.of(TOPIC)).all().get();
        }
        System.out.println(count(acked) + " records, " + String.join(" ", CODECS));
    }

    static void live(Admin admin) throws Exception {
        // Alone.
        produce("alone");
        var first = new Member("first");
        until("the first member reads everything", Life::allSeen, first);
        first.commit();

        // A second member joins: each has half.
        var second = new Member("second");
        until("two members share the partitions",
            () -> first.assigned().size() == PARTITIONS / 2 && second.assigned().size() == PARTITIONS / 2, first, second);
        check(Collections.disjoint(first.assigned(), second.assigned()), "two members have one partition");
        var before = new HashMap<TopicPartition, Integer>();
        acked.forEach((partition, records) -> before.put(partition, records.size()));
        produce("together");
        until("two members read everything", Life::allSeen, first, second);
        seen.forEach((partition, readers) -> {
            var owner = first.assigned().contains(partition) ? "first" : "second";
            readers.forEach((offset, reader) ->
                check(offset < before.get(partition) || reader.equals(owner), partition + "@" + offset + " read by " + reader));
        });
        first.commit();
        second.commit();

        // It leaves again: everything is the first one's.
        second.consumer.close();
        until("one member has every partition", () -> first.assigned().size() == PARTITIONS, first);
        produce("alone again");
        until("the first member reads everything again", Life::allSeen, first);
        first.commit();
        first.consumer.close();

        // What was committed is there, and a member that comes back goes on after it.
        admin.listConsumerGroupOffsets(GROUP).partitionsToOffsetAndMetadata().get().forEach((partition, committed) -> {
            check(committed.offset() == acked.get(partition).size(), partition + " was committed at " + committed);
            check(committed.metadata().equals("by first"), "metadata " + committed.metadata());
        });
        produce("back");
        var back = new Member("back");
        until("the member that came back reads what is new", Life::allSeen, back);
        back.consumer.close();

        var latest = acked.keySet().stream().collect(Collectors.toMap(partition -> partition, partition -> OffsetSpec.latest()));
        admin.listOffsets(latest).all().get().forEach((partition, place) ->
            check(place.offset() == acked.get(partition).size(), partition + " ends at " + place.offset()));
        var state = admin.describeConsumerGroups(List.of(GROUP)).all().get().get(GROUP).groupState();
        check(state == GroupState.EMPTY, "the group is " + state);
    }

    static void produce(String phase) throws Exception {
        for (var codec : CODECS) {
            Map<String, Object> config = Map.of("bootstrap.servers", BOOTSTRAP, "compression.type", codec, "linger.ms", 5);
            try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
                var names = new ArrayList<>(PARTITION_OF.keySet());
                var waiting = new ArrayList<Future<RecordMetadata>>();
                var records = new ArrayList<ProducerRecord<String, String>>();
                for (int index = 0; index < PER_CODEC; index++) {
                    var id = phase + "/" + codec + "/" + index;
                    var value = index % 10 == 9 ? null : id + ":" + "kafka ".repeat(40);
                    List<Header> headers = List.of(
                        new RecordHeader("id", id.getBytes(StandardCharsets.UTF_8)),
                        new RecordHeader("bytes", new byte[] {0, -1, (byte) index}),
                        new RecordHeader("null", null), new RecordHeader("twice", new byte[] {1}),
                        new RecordHeader("twice", new byte[] {2}));
                    records.add(new ProducerRecord<>(TOPIC, null, 1_700_000_000_000L + index, names.get(index % names.size()), value, headers));
                    waiting.add(producer.send(records.get(index)));
                }
                for (int index = 0; index < PER_CODEC; index++) {
                    var done = waiting.get(index).get();
                    var record = records.get(index);
                    var partition = new TopicPartition(TOPIC, done.partition());
                    check(done.partition() == PARTITION_OF.get(record.key()), record.key() + " went to " + partition);
                    check(done.offset() == acked.get(partition).size(), "acknowledged at " + done.offset());
                    acked.get(partition).add(record);
                }
            }
        }
    }

    static class Member {
        final String name;
        final KafkaConsumer<String, String> consumer;

        Member(String name) {
            this.name = name;
            consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", BOOTSTRAP, "group.id", GROUP,
                "auto.offset.reset", "earliest", "enable.auto.commit", false, "session.timeout.ms", 10_000,
                "heartbeat.interval.ms", 300, "fetch.max.wait.ms", 100), new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(List.of(TOPIC));
        }

        Set<TopicPartition> assigned() {
            return consumer.assignment();
        }

        void poll() {
            for (var record : consumer.poll(Duration.ofMillis(20))) {
                var partition = new TopicPartition(TOPIC, record.partition());
                var place = partition + "@" + record.offset();
                var sent = acked.get(partition).get((int) record.offset());
                var other = seen.get(partition).put(record.offset(), name);
                check(other == null, place + " was seen by " + other + " and again by " + name);
                check(record.key().equals(sent.key()) && Objects.equals(record.value(), sent.value()), place + " differs");
                check(record.timestamp() == sent.timestamp(), place + " has timestamp " + record.timestamp());
                check(Arrays.equals(record.headers().toArray(), sent.headers().toArray()), place + " has headers " + record.headers());
            }
        }

        void commit() {
            consumer.commitSync(assigned().stream().collect(Collectors.toMap(
                partition -> partition, partition -> new OffsetAndMetadata(acked.get(partition).size(), "by " + name))));
        }
    }

    static boolean allSeen() {
        return seen.values().stream().mapToInt(Map::size).sum() == count(acked);
    }

    static int count(Map<TopicPartition, ? extends Collection<?>> records) {
        return records.values().stream().mapToInt(Collection::size).sum();
    }

    static void until(String what, BooleanSupplier condition, Member... members) {
        var deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (!condition.getAsBoolean()) {
            check(System.nanoTime() < deadline, "timed out: " + what);
            for (var member : members) member.poll();
        }
    }

    static void check(boolean condition, String message) {
        if (!condition) throw new AssertionError(message);
    }
}
