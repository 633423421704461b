import java.io.*;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.stream.Stream;
import kafka.tools.StorageTool;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.tools.DumpLogSegments;

/**
 * One log directory that Apache Kafka and we take turns with: Apache Kafka begins it, we go on, are killed and go on
 * again, then Apache Kafka once more. Whoever has it finds everything that was there before, and Apache Kafka's own
 * tool reads every file that we leave.
 */
public class Directory {
    static final int PARTITIONS = 3;
    static final String GROUP = "readers";
    static final ConfigResource CONFIGS = new ConfigResource(ConfigResource.Type.TOPIC, "plain");

    /** What is there by now: values of the topic `plain`, and those of `atomic` that were committed. */
    static final Set<String> plain = new TreeSet<>(), atomic = new TreeSet<>();
    static Path home, data;
    static String address;

    public static void main(String[] args) throws Exception {
        home = Files.createTempDirectory("shore-directory");
        data = home.resolve("data");
        try {
            var kafka = kafkaSettings();
            format(kafka);
            try (var broker = new Application(home, "kafka", kafka.Kafka.class, kafka)) {
                firstTurn();
            }
            try (var broker = new Shore(args[0])) {
                turn("ours", 1);
                broker.kill();
            }
            try (var broker = new Shore(args[0])) {
                turn("ours again", 2);
            }
            int files = dump();
            try (var broker = new Application(home, "kafka", kafka.Kafka.class, kafka)) {
                turn("theirs again", 3);
            }
            System.out.println(plain.size() + atomic.size() + " records of four turns, " + files + " files dumped");
        } finally {
            try (Stream<Path> all = Files.walk(home)) {
                all.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
            }
        }
    }

    /** Creates what the later turns find. */
    static void firstTurn() throws Exception {
        try (var admin = admin()) {
            var topics = List.of(new NewTopic("plain", PARTITIONS - 1, (short) 1).configs(Map.of("segment.bytes", "1048576")),
                new NewTopic("atomic", 1, (short) 1), new NewTopic("gone", 1, (short) 1));
            admin.createTopics(topics).all().get();
            admin.createPartitions(Map.of("plain", NewPartitions.increaseTo(PARTITIONS))).all().get();
            admin.deleteTopics(List.of("gone")).all().get();
        }
        write("theirs");
        find("theirs");
        commit(1);
    }

    /** Everything is there. What the turn adds is there as well, and the turn's number is committed. */
    static void turn(String name, int number) throws Exception {
        find("before " + name);
        try (var admin = admin(); var consumer = consumer()) {
            var committed = consumer.committed(Set.of(new TopicPartition("plain", 0))).values().iterator().next();
            check(committed != null && committed.offset() == number && committed.metadata().equals("turn " + number), "committed: " + committed);
            var kept = admin.describeConfigs(List.of(CONFIGS)).all().get().get(CONFIGS).get("segment.bytes").value();
            check(kept.equals("1048576"), "segment.bytes is " + kept);
            check(admin.listTopics().names().get().equals(topicsBy(number)), admin.listTopics().names().get().toString());
            admin.createTopics(List.of(new NewTopic("of-turn-" + number, 1, (short) 1))).all().get();
        }
        write(name);
        find("after " + name);
        commit(number + 1);
    }

    static Set<String> topicsBy(int number) {
        var topics = new TreeSet<>(Set.of("plain", "atomic"));
        for (int before = 1; before < number; before++) topics.add("of-turn-" + before);
        return topics;
    }

    /** Records in each codec, of which some fill segments, and transactions of one id: one aborted, one committed. */
    static void write(String turn) throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            try (var producer = producer(Map.of("compression.type", codec))) {
                for (int at = 0; at < 40; at++) {
                    var value = turn + " " + codec + " " + at + " " + "x".repeat(at % 10 == 0 ? 50_000 : 10);
                    producer.send(new ProducerRecord<>("plain", at % PARTITIONS, "key " + at, value));
                    plain.add(value);
                }
            }
        }
        try (var producer = producer(Map.of("transactional.id", "teller"))) {
            producer.initTransactions();
            for (String end : List.of("aborted", "committed")) {
                producer.beginTransaction();
                for (int at = 0; at < 5; at++) producer.send(new ProducerRecord<>("atomic", end + " in " + turn + " " + at));
                producer.flush();
                if (end.equals("aborted")) producer.abortTransaction();
                else producer.commitTransaction();
            }
            for (int at = 0; at < 5; at++) atomic.add("committed in " + turn + " " + at);
        }
    }

    static void find(String when) throws Exception {
        var values = new HashMap<String, List<String>>(Map.of("plain", new ArrayList<>(), "atomic", new ArrayList<>()));
        try (var consumer = consumer()) {
            var partitions = new ArrayList<>(List.of(new TopicPartition("atomic", 0)));
            for (int at = 0; at < PARTITIONS; at++) partitions.add(new TopicPartition("plain", at));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            var ends = consumer.endOffsets(partitions);
            var deadline = System.nanoTime() + 30_000_000_000L;
            while (partitions.stream().anyMatch(each -> consumer.position(each) < ends.get(each))) {
                check(System.nanoTime() < deadline, when + ": not read to the end " + ends);
                for (var record : consumer.poll(Duration.ofMillis(200))) values.get(record.topic()).add(record.value());
            }
        }
        for (var topic : Map.of("plain", plain, "atomic", atomic).entrySet()) {
            var found = values.get(topic.getKey());
            check(found.size() == topic.getValue().size() && topic.getValue().equals(new TreeSet<>(found)),
                when + ": " + topic.getKey() + " has " + found.size() + " records, not the " + topic.getValue().size() + " that were written");
        }
    }

    static void commit(int number) {
        try (var consumer = consumer()) {
            consumer.commitSync(Map.of(new TopicPartition("plain", 0), new OffsetAndMetadata(number, "turn " + number)));
        }
    }

    /** Every file of every log, by Apache Kafka's tool with the decoder that is made for it. */
    static int dump() throws Exception {
        int count = 0;
        for (Path log : list(data)) {
            if (!Files.isDirectory(log)) continue;
            var name = log.getFileName().toString();
            var decoder = name.startsWith("__cluster_metadata-") ? "--cluster-metadata-decoder"
                : name.startsWith("__consumer_offsets-") ? "--offsets-decoder"
                : name.startsWith("__transaction_state-") ? "--transaction-log-decoder" : "--print-data-log";
            var files = list(log).stream().map(Path::toString).filter(file -> file.matches(".*\\.(log|index|timeindex|txnindex|snapshot)")).toList();
            var said = dump(decoder, "--deep-iteration", "--files", String.join(",", files));
            var indexes = files.stream().filter(file -> file.endsWith("index")).toList();
            said += dump("--index-sanity-check", "--files", String.join(",", indexes));
            check(!said.toLowerCase().contains("mismatch") && !said.contains("isvalid: false") && !said.contains("Could not decode"), said);
            check(!decoder.contains("decoder") || !said.contains("payload: ") || said.contains("{\"type\":"), said);
            count += files.size();
        }
        return count;
    }

    static String dump(String... args) throws Exception {
        var out = System.out;
        var said = new ByteArrayOutputStream();
        System.setOut(new PrintStream(said, true));
        try {
            DumpLogSegments.main(args);
        } finally {
            System.setOut(out);
        }
        return said.toString(StandardCharsets.UTF_8);
    }

    static List<Path> list(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList();
        }
    }

    static Map<String, Object> kafkaSettings() throws IOException {
        try (var broker = new ServerSocket(0); var controller = new ServerSocket(0)) {
            address = "127.0.0.1:" + broker.getLocalPort();
            var quorum = "127.0.0.1:" + controller.getLocalPort();
            var settings = new HashMap<String, Object>(Map.of("node.id", 5, "process.roles", "broker,controller",
                "controller.listener.names", "CONTROLLER", "controller.quorum.voters", "5@" + quorum,
                "listeners", "PLAINTEXT://" + address + ",CONTROLLER://" + quorum, "log.dirs", data,
                "offsets.topic.replication.factor", 1, "offsets.topic.num.partitions", 4));
            settings.putAll(Map.of("transaction.state.log.replication.factor", 1, "transaction.state.log.min.isr", 1,
                "transaction.state.log.num.partitions", 4, "group.initial.rebalance.delay.ms", 0,
                "listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"));
            return settings;
        }
    }

    static void format(Map<String, ?> settings) throws Exception {
        var properties = new Properties();
        settings.forEach((key, value) -> properties.setProperty(key, value.toString()));
        var file = home.resolve("format.properties");
        try (var out = Files.newOutputStream(file)) {
            properties.store(out, null);
        }
        var said = new ByteArrayOutputStream();
        int code = StorageTool.execute(new String[] {"format", "-t", "kafkashoreAAAAAAAAAAAw", "-c", file.toString()}, new PrintStream(said));
        check(code == 0, said.toString());
    }

    /** Our own broker on the directory, at the address that Apache Kafka has in its turns. */
    static class Shore implements AutoCloseable {
        private final Process process;

        Shore(String binary) throws Exception {
            process = new ProcessBuilder(binary, "serve", "--data", data.toString(), "--port", address.split(":")[1])
                .redirectError(ProcessBuilder.Redirect.INHERIT).start();
            Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
            var line = process.inputReader().readLine();
            check(line != null && line.startsWith("shore ready: "), "shore says " + line);
        }

        void kill() throws InterruptedException {
            process.destroyForcibly().waitFor();
        }

        @Override
        public void close() throws InterruptedException {
            process.destroy();
            process.waitFor();
        }
    }

    static Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", address));
    }

    static KafkaProducer<String, String> producer(Map<String, Object> more) {
        var settings = new HashMap<String, Object>(Map.of("bootstrap.servers", address, "linger.ms", 5, "batch.size", 65_536));
        settings.putAll(more);
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer() {
        return new KafkaConsumer<>(Map.of("bootstrap.servers", address, "group.id", GROUP, "isolation.level", "read_committed",
            "enable.auto.commit", false), new StringDeserializer(), new StringDeserializer());
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }
}
