import com.fasterxml.jackson.databind.*;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.connect.cli.ConnectDistributed;
import org.apache.kafka.connect.file.*;

/** Kafka Connect's distributed worker: a file, a topic, a file again; killed, stopped, and its offsets set back. */
public class Connect {
    static final String RUN = "connect-" + Long.toString(System.currentTimeMillis(), 36) + "-" + ProcessHandle.current().pid();
    static final String TOPIC = RUN + "-lines", OFFSETS = RUN + "-offsets", CONFIGS = RUN + "-configs", STATUSES = RUN + "-statuses";
    static final ObjectMapper JSON = new ObjectMapper();
    static final HttpClient HTTP = HttpClient.newHttpClient();

    static final List<String> written = new ArrayList<>();
    static Path home, source, sink;
    static int port;
    static Application worker;

    public static void main(String[] args) throws Exception {
        home = Files.createTempDirectory("connect-");
        source = home.resolve("source.txt");
        sink = home.resolve("sink.txt");
        try (var socket = new ServerSocket(0)) {
            port = socket.getLocalPort();
        }
        try (var admin = Admin.create(Map.of("bootstrap.servers", Tools.BOOTSTRAP))) {
            live(admin);
            admin.deleteTopics(List.of(TOPIC, OFFSETS, CONFIGS, STATUSES)).all().get();
        } finally {
            if (worker != null) worker.kill();
            try (var files = Files.walk(home)) {
                files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
            }
        }
        System.out.println(written.size() + " lines, each in the topic once, through a kill and a stop of the worker");
    }

    static void live(Admin admin) throws Exception {
        start("first");
        check(ask("GET", "/", null).path("kafka_cluster_id").asText().equals(admin.describeCluster().clusterId().get()), "another cluster");
        internalTopics(admin);
        create("source", FileStreamSourceConnector.class, Map.of("file", source, "topic", TOPIC,
            "topic.creation.default.partitions", 1, "topic.creation.default.replication.factor", 1,
            "topic.creation.default.retention.ms", 86400000));
        write(500);
        until("the source makes its topic", () -> get(admin.listTopics().names()).contains(TOPIC));
        create("sink", FileStreamSinkConnector.class, Map.of("file", sink, "topics", TOPIC));
        until("the sink has every line", () -> lines(sink).equals(written));
        var retention = configs(admin, TOPIC).get("retention.ms").value();
        check(retention.equals("86400000"), "the connector's topic has retention.ms=" + retention);

        // Killed while lines come. What the sink had not committed it may write again, nothing else.
        until("the sink has some more lines", () -> {
            write(50);
            return lines(sink).size() > 500;
        });
        worker.kill();
        var before = lines(sink);
        check(written.subList(0, before.size()).equals(before), "the sink has other lines when the worker is killed");
        write(500);
        start("killed");
        until("the sink goes on to the last line", () -> lines(sink).size() > before.size() && last(lines(sink)).equals(last(written)));
        var after = lines(sink).subList(before.size(), lines(sink).size());
        var from = written.indexOf(after.get(0));
        check(from <= before.size() && written.subList(from, written.size()).equals(after), "the sink went on at " + after.get(0));
        onceInTopic();

        // Stopped, it commits what it did: nothing is repeated.
        worker.close();
        var stopped = lines(sink);
        write(500);
        start("stopped");
        var expected = new ArrayList<>(stopped);
        expected.addAll(written.subList(written.size() - 500, written.size()));
        until("the sink goes on where it stopped", () -> lines(sink).size() >= expected.size());
        check(lines(sink).equals(expected), "the sink has other lines");
        onceInTopic();

        // Its offsets are the group's: deleted, it begins anew.
        ask("PUT", "/connectors/sink/stop", null);
        until("the sink is stopped", () -> state("sink").equals("STOPPED") && ask("GET", "/connectors/sink/tasks", null).isEmpty());
        var offset = ask("GET", "/connectors/sink/offsets", null).at("/offsets/0/offset/kafka_offset").asLong();
        check(offset >= written.size(), "the sink's offset is " + offset);
        until("the sink's group is empty", () -> get(admin.describeConsumerGroups(List.of("connect-sink")).all())
            .get("connect-sink").groupState() == GroupState.EMPTY);
        ask("DELETE", "/connectors/sink/offsets", null);
        Files.delete(sink);
        ask("PUT", "/connectors/sink/resume", null);
        until("the sink has every line again", () -> lines(sink).size() >= written.size());
        check(lines(sink).equals(written), "the sink has other lines after its offsets were deleted");

        for (var name : List.of("source", "sink")) ask("DELETE", "/connectors/" + name, null);
        until("the connectors are gone", () -> ask("GET", "/connectors", null).isEmpty());
        worker.close();
    }

    /** A worker that commits source offsets and records in one transaction, and whose sinks read what is committed. */
    static void start(String name) throws Exception {
        var settings = new HashMap<String, Object>(Map.of("bootstrap.servers", Tools.BOOTSTRAP, "group.id", RUN,
            "listeners", "http://127.0.0.1:" + port, "plugin.discovery", "service_load",
            "offset.storage.topic", OFFSETS, "config.storage.topic", CONFIGS, "status.storage.topic", STATUSES,
            "exactly.once.source.support", "enabled", "consumer.isolation.level", "read_committed"));
        for (var topic : List.of("offset", "config", "status")) settings.put(topic + ".storage.replication.factor", 1);
        for (var side : List.of("key", "value")) settings.put(side + ".converter", "org.apache.kafka.connect.storage.StringConverter");
        settings.putAll(Map.of("offset.flush.interval.ms", 500, "session.timeout.ms", 6000, "heartbeat.interval.ms", 500,
            "scheduled.rebalance.max.delay.ms", 0, "consumer.session.timeout.ms", 6000, "consumer.heartbeat.interval.ms", 500));
        worker = new Application(home, name, ConnectDistributed.class, settings);
        until("the worker answers", () -> {
            try {
                return call("GET", "/connectors", null).statusCode() == 200;
            } catch (IOException notYet) {
                return false;
            }
        });
    }

    static void internalTopics(Admin admin) throws Exception {
        var partitions = Map.of(CONFIGS, 1, OFFSETS, 25, STATUSES, 5);
        for (var topic : admin.describeTopics(partitions.keySet()).allTopicNames().get().values()) {
            check(topic.partitions().size() == partitions.get(topic.name()), topic + "");
            var policy = configs(admin, topic.name()).get("cleanup.policy").value();
            check(policy.equals("compact"), topic.name() + " has the policy " + policy);
        }
    }

    static Config configs(Admin admin, String topic) {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return get(admin.describeConfigs(List.of(resource)).all()).get(resource);
    }

    static void create(String name, Class<?> connector, Map<String, ?> settings) throws Exception {
        var config = JSON.createObjectNode().put("connector.class", connector.getName()).put("tasks.max", "1").put("name", name);
        settings.forEach((key, value) -> config.put(key, value.toString()));
        var validated = ask("PUT", "/connector-plugins/" + connector.getSimpleName() + "/config/validate", config);
        check(validated.path("error_count").asInt(-1) == 0, validated.toPrettyString());
        ask("PUT", "/connectors/" + name + "/config", config);
        until(name + " runs", () -> state(name).equals("RUNNING")
            && ask("GET", "/connectors/" + name + "/status", null).at("/tasks/0/state").asText().equals("RUNNING"));
    }

    static String state(String name) {
        return ask("GET", "/connectors/" + name + "/status", null).at("/connector/state").asText();
    }

    /** What the REST API answers; while a rebalance goes on it is asked again. */
    static JsonNode ask(String method, String path, ObjectNode body) {
        var deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        try {
            while (true) {
                var answer = call(method, path, body);
                if (answer.statusCode() < 300) return JSON.readTree(answer.body().isEmpty() ? "{}" : answer.body());
                var wait = answer.statusCode() == 409 || answer.statusCode() == 404 || answer.statusCode() >= 500;
                check(wait && System.nanoTime() < deadline, method + " " + path + " is answered " + answer.statusCode() + " " + answer.body());
                Thread.sleep(100);
            }
        } catch (IOException | InterruptedException error) {
            throw new AssertionError(method + " " + path, error);
        }
    }

    static HttpResponse<String> call(String method, String path, ObjectNode body) throws IOException {
        var request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path)).header("Content-Type", "application/json")
            .method(method, body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body.toString()));
        try {
            return HTTP.send(request.build(), HttpResponse.BodyHandlers.ofString());
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    static void write(int count) {
        var more = IntStream.range(written.size(), written.size() + count).mapToObj(at -> "line " + at).toList();
        written.addAll(more);
        try {
            Files.write(source, more, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException error) {
            throw new AssertionError(error);
        }
    }

    static List<String> lines(Path file) {
        try {
            var text = Files.exists(file) ? Files.readString(file) : "";
            return text.substring(0, text.lastIndexOf('\n') + 1).lines().toList();
        } catch (IOException error) {
            throw new AssertionError(error);
        }
    }

    static String last(List<String> lines) {
        return lines.get(lines.size() - 1);
    }

    /** The source is exactly once: what is committed in the topic is the file. */
    static void onceInTopic() {
        try (var consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", Tools.BOOTSTRAP, "isolation.level", "read_committed"),
            new StringDeserializer(), new StringDeserializer())) {
            var partition = List.of(new TopicPartition(TOPIC, 0));
            consumer.assign(partition);
            consumer.seekToBeginning(partition);
            var end = consumer.endOffsets(partition).get(partition.get(0));
            var found = new ArrayList<String>();
            while (consumer.position(partition.get(0)) < end) {
                consumer.poll(Duration.ofMillis(100)).forEach(record -> found.add(record.value()));
            }
            check(found.equals(written), "the topic has " + found.size() + " lines and the file " + written.size());
        }
    }

    static <T> T get(KafkaFuture<T> future) {
        return Streams.get(future);
    }

    static void until(String what, BooleanSupplier condition) throws InterruptedException {
        var deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (!condition.getAsBoolean()) {
            check(System.nanoTime() < deadline, "timed out until " + what);
            Thread.sleep(100);
        }
    }

    static void check(boolean condition, String message) {
        if (condition) return;
        throw new AssertionError(message + (worker == null ? "" : "; the worker " + worker.said()));
    }
}
