import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.examples.wordcount.WordCountDemo;
import org.apache.kafka.tools.StreamsResetter;

/** Kafka Streams' own word count, exactly once: killed and resumed, taken over by another instance, and reset. */
public class Streams {
    static final String INPUT = WordCountDemo.INPUT_TOPIC, OUTPUT = WordCountDemo.OUTPUT_TOPIC;
    static final String APPLICATION = "word-count-" + Long.toString(System.currentTimeMillis(), 36) + "-" + ProcessHandle.current().pid();
    static final String STORE = APPLICATION + "-KSTREAM-AGGREGATE-STATE-STORE-0000000003";
    static final String CHANGELOG = STORE + "-changelog", REPARTITION = STORE + "-repartition";
    static final int PARTITIONS = 4;
    static final List<String> WORDS = List.of("all", "streams", "lead", "to", "kafka", "hello", "join", "summit");

    static final Map<String, Long> sent = new TreeMap<>(), counted = new TreeMap<>();
    static final List<Application> instances = new ArrayList<>();
    static Path home;
    static Producer<String, String> producer;
    static Consumer<String, Long> reader;

    public static void main(String[] args) throws Exception {
        home = Files.createTempDirectory("streams-");
        Map<String, Object> server = Map.of("bootstrap.servers", Tools.BOOTSTRAP);
        try (var admin = Admin.create(server);
             var sends = new KafkaProducer<>(server, new StringSerializer(), new StringSerializer());
             var reads = consumer(new LongDeserializer())) {
            producer = sends;
            reader = reads;
            // The demo's topics have fixed names: another run may have left them.
            var old = admin.listTopics().names().get().stream().filter(List.of(INPUT, OUTPUT)::contains).toList();
            admin.deleteTopics(old).all().get();
            admin.createTopics(List.of(new NewTopic(INPUT, PARTITIONS, (short) 1), new NewTopic(OUTPUT, PARTITIONS, (short) 1))).all().get();
            reader.assign(partitions(OUTPUT));
            reader.seekToBeginning(reader.assignment());
            count(admin);
            leftBehind(admin);
            reset(admin);
            admin.deleteTopics(List.of(INPUT, OUTPUT)).all().get();
        } finally {
            for (var instance : instances) instance.kill();
            try (var files = Files.walk(home)) {
                files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
            }
        }
        System.out.println(sum(sent) + " words, each counted once through two kills");
    }

    static void count(Admin admin) throws Exception {
        var first = start("first", "here");
        send(300);
        allCounted("by one instance");

        // Killed in the midst of a transaction, and resumed with what its directory holds.
        sendUntilTransactional(admin);
        first.kill();
        send(300);
        var resumed = start("resumed", "here");
        allCounted("by the instance that resumed");

        // Another one joins, whose state comes from the changelog. The first is killed and leaves everything to it.
        var beside = start("beside", "elsewhere");
        until("two instances share the tasks", () -> instancesWithTasks(admin) == 2);
        send(300);
        allCounted("by two instances");
        sendUntilTransactional(admin);
        resumed.kill();
        send(300);
        allCounted("by the instance that is left");
        beside.close();
        check(sent.equals(counted), sent + " were sent and counted as " + counted);
    }

    static Application start(String name, String state) throws Exception {
        var instance = new Application(home, name, WordCountDemo.class, Map.of("bootstrap.servers", Tools.BOOTSTRAP,
            "application.id", APPLICATION, "processing.guarantee", "exactly_once_v2", "num.stream.threads", 2,
            "state.dir", home.resolve(state), "repartition.purge.interval.ms", 500,
            "consumer.session.timeout.ms", 6000, "consumer.heartbeat.interval.ms", 500,
            "default.key.serde", Serdes.StringSerde.class.getName(), "default.value.serde", Serdes.StringSerde.class.getName()));
        instances.add(instance);
        return instance;
    }

    static void send(int lines) {
        for (int at = 0; at < lines; at++) {
            var line = new StringJoiner(" ");
            for (int word = 0; word <= at % 5; word++) {
                var next = WORDS.get((at + word * 3) % WORDS.size());
                sent.merge(next, 1L, Long::sum);
                line.add(next);
            }
            producer.send(new ProducerRecord<>(INPUT, at % PARTITIONS, null, line.toString()));
        }
        producer.flush();
    }

    /** Sends until counts are written whose transaction has not ended. */
    static void sendUntilTransactional(Admin admin) {
        until("a transaction is open", () -> {
            send(20);
            var all = offsets(admin, List.of(OUTPUT), OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED);
            var stable = offsets(admin, List.of(OUTPUT), OffsetSpec.latest(), IsolationLevel.READ_COMMITTED);
            return !all.equals(stable);
        });
    }

    /** Without a cache, each word that is counted is a record with the next number. */
    static void read() {
        for (var record : reader.poll(Duration.ofMillis(100))) {
            var before = counted.getOrDefault(record.key(), 0L);
            check(record.value() == before + 1, record.key() + " is " + record.value() + " after " + before + " at " + record);
            counted.put(record.key(), record.value());
        }
    }

    static void allCounted(String how) {
        until("everything is counted " + how, () -> sum(counted) >= sum(sent));
    }

    /** The topics that Streams made for itself, what it committed, and its transactions. */
    static void leftBehind(Admin admin) throws Exception {
        var policies = Map.of(CHANGELOG, "compact", REPARTITION, "delete");
        var resources = policies.keySet().stream().map(name -> new ConfigResource(ConfigResource.Type.TOPIC, name)).toList();
        admin.describeConfigs(resources).all().get().forEach((resource, config) -> {
            var policy = config.get("cleanup.policy").value();
            check(policy.equals(policies.get(resource.name())), resource.name() + " has the policy " + policy);
        });

        var stored = new TreeMap<String, Long>();
        try (var changes = consumer(new LongDeserializer())) {
            readToEnd(changes, partitions(CHANGELOG), record -> stored.put(record.key(), record.value()));
        }
        check(stored.equals(sent), "the changelog has " + stored + " and not " + sent);

        var both = List.of(INPUT, REPARTITION);
        var ends = offsets(admin, both, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED);
        admin.listConsumerGroupOffsets(APPLICATION).partitionsToOffsetAndMetadata().get().forEach((partition, committed) -> {
            // The last offset of a partition that transactions wrote to is a marker's.
            var behind = ends.get(partition) - committed.offset();
            check(behind == 0 || partition.topic().equals(REPARTITION) && behind == 1, partition + " is committed " + behind + " before its end");
        });
        var starts = offsets(admin, both, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED);
        check(partitions(REPARTITION).stream().anyMatch(partition -> starts.get(partition) > 0), "nothing was purged: " + starts);

        for (var transaction : admin.listTransactions().all().get()) {
            if (!transaction.transactionalId().startsWith(APPLICATION)) continue;
            var state = transaction.state();
            check(Set.of(TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT, TransactionState.EMPTY).contains(state), transaction + "");
        }
    }

    /** kafka-streams-application-reset.sh removes its members, sets its offsets back and deletes its topics. */
    static void reset(Admin admin) throws Exception {
        var said = Tools.said(line -> check(new StreamsResetter().execute(line) == 0, "its status is not 0"),
            "--bootstrap-server", Tools.BOOTSTRAP, "--application-id", APPLICATION, "--input-topics", INPUT, "--force");
        var committed = admin.listConsumerGroupOffsets(APPLICATION).partitionsToOffsetAndMetadata().get();
        check(partitions(INPUT).stream().allMatch(partition -> committed.get(partition).offset() == 0), said + committed);
        var names = admin.listTopics().names().get();
        check(!names.contains(CHANGELOG) && !names.contains(REPARTITION), said + names);
    }

    static Map<TopicPartition, Long> offsets(Admin admin, List<String> topics, OffsetSpec spec, IsolationLevel isolation) {
        var asked = new HashMap<TopicPartition, OffsetSpec>();
        for (var topic : topics) partitions(topic).forEach(partition -> asked.put(partition, spec));
        var found = get(admin.listOffsets(asked, new ListOffsetsOptions(isolation)).all());
        return found.entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue().offset()));
    }

    static long instancesWithTasks(Admin admin) {
        var group = get(admin.describeConsumerGroups(List.of(APPLICATION)).all()).get(APPLICATION);
        return group.members().stream().filter(member -> !member.assignment().topicPartitions().isEmpty())
            // A client id is the instance's and a thread's: each instance has two.
            .map(member -> member.clientId().replaceAll("-StreamThread.*", "")).distinct().count();
    }

    static <T> T get(KafkaFuture<T> future) {
        try {
            return future.get();
        } catch (InterruptedException | ExecutionException error) {
            throw new AssertionError(error);
        }
    }

    static <V> Consumer<String, V> consumer(Deserializer<V> values) {
        return new KafkaConsumer<>(Map.of("bootstrap.servers", Tools.BOOTSTRAP, "isolation.level", "read_committed",
            "enable.auto.commit", false, "fetch.max.wait.ms", 50), new StringDeserializer(), values);
    }

    static <V> void readToEnd(Consumer<String, V> consumer, List<TopicPartition> partitions,
                              java.util.function.Consumer<ConsumerRecord<String, V>> each) {
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        var ends = consumer.endOffsets(partitions);
        var deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
            check(System.nanoTime() < deadline, "timed out reading to " + ends);
            consumer.poll(Duration.ofMillis(100)).forEach(each);
        }
    }

    static List<TopicPartition> partitions(String topic) {
        return IntStream.range(0, PARTITIONS).mapToObj(partition -> new TopicPartition(topic, partition)).toList();
    }

    static int sum(Map<String, Long> counts) {
        return counts.values().stream().mapToInt(Long::intValue).sum();
    }

    static void until(String what, BooleanSupplier condition) {
        var deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (!condition.getAsBoolean()) {
            check(System.nanoTime() < deadline, "timed out until " + what + "; sent were " + sent + ", counted " + counted);
            read();
        }
    }

    static void check(boolean condition, String message) {
        if (condition) return;
        instances.forEach(instance -> System.err.println("an instance " + instance.said()));
        throw new AssertionError(message);
    }
}
