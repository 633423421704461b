import java.io.PrintWriter;
import java.nio.file.Files;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

/** Apache Kafka's kafka-consumer-groups.sh: groups and offsets described, reset and deleted, and what it is refused. */
public class Groups {
    static final long FIRST = 1_700_000_000_000L, HOUR = 3_600_000;
    static String topic, other, group;

    public static void main(String[] args) throws Exception {
        var run = Long.toString(System.currentTimeMillis(), 36) + "-" + ProcessHandle.current().pid();
        topic = "groups-" + run;
        other = "other-" + run;
        group = "group-" + run;
        for (var name : List.of(topic, other)) Tools.said(Tools::topics, "--create", "--topic", name, "--partitions", "2");
        produce();

        says("Group " + group + " not found.", "--describe", "--group", group);
        try (var consumer = new KafkaConsumer<>(settings(), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic));
            for (int read = 0; read < 20; ) read += consumer.poll(Duration.ofSeconds(1)).count();
            consumer.commitSync(Map.of(partition(0), new OffsetAndMetadata(4), partition(1), new OffsetAndMetadata(10),
                new TopicPartition(other, 0), new OffsetAndMetadata(0, "mine")));
            whileActive();
        }
        // A static member that closes stays one until its session ends, or an administrator removes it.
        row(said("--describe", "--group", group, "--state"), "Stable", "1");
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", Tools.BOOTSTRAP))) {
            var leaves = new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("one")));
            admin.removeMembersFromConsumerGroup(group, leaves).all().get();
        }
        whenEmpty();
        whenGone();
        Tools.OUT.println(Tools.calls + " calls of kafka-consumer-groups.sh");
    }

    /** Ten records in each partition, an hour apart. */
    static void produce() throws Exception {
        try (var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", Tools.BOOTSTRAP),
            new StringSerializer(), new StringSerializer())) {
            for (int at = 0; at < 20; at++) {
                producer.send(new ProducerRecord<>(topic, at % 2, FIRST + at / 2 * HOUR, null, "v" + at));
            }
        }
    }

    static Map<String, Object> settings() {
        return Map.of("bootstrap.servers", Tools.BOOTSTRAP, "group.id", group, "client.id", "reader", "group.instance.id", "one",
            "auto.offset.reset", "earliest", "enable.auto.commit", "false");
    }

    static void whileActive() throws Exception {
        offsets("4 10 6", "10 10 0");
        says("reader", "--describe", "--group", group);
        row(said("--describe", "--group", group, "--state"), "range", "Stable", "1");
        row(said("--describe", "--group", group, "--members", "--verbose"), "one", "reader", "2", topic + ":0,1");
        says(group, "--list", "--state", "Stable");
        row(said("--list", "--state", "--type"), group, "Classic", "Stable");
        says("Error: Assignments can only be reset if the group '" + group + "' is inactive, but the current state is Stable.",
            "--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute");
        says("GroupNotEmptyException", "--delete", "--group", group);
        says("actively subscribed", "--delete-offsets", "--group", group, "--topic", topic);
        row(said("--delete-offsets", "--group", group, "--topic", other), other, "0", "Successful");
    }

    static void whenEmpty() throws Exception {
        offsets("4 10 6", "10 10 0");
        says("has no active members", "--describe", "--group", group, "--members");
        row(said("--describe", "--group", group, "--state"), "Empty", "0");
        check(!said("--list", "--state", "Stable").contains(group), group + " is listed as stable");

        reset("0 0", "--to-earliest", "--dry-run");
        offsets("4 10 6", "10 10 0");
        reset("0 0", "--to-earliest", "--execute");
        offsets("0 10 10", "0 10 10");
        reset("10 10", "--to-latest", "--execute");
        reset("7 7", "--to-offset", "7", "--execute");
        reset("5 5", "--shift-by", "-2", "--execute");
        reset("10 10", "--shift-by", "99", "--execute");
        reset("3 3", "--to-datetime", new java.text.SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss.SSS") {{
            setTimeZone(TimeZone.getTimeZone("UTC"));
        }}.format(new Date(FIRST + 2 * HOUR + 1)), "--execute");
        reset("3 3", "--to-current", "--execute");
        reset("0 0", "--by-duration", "P10000D", "--execute");
        offsets("0 10 10", "0 10 10");

        var file = Files.createTempFile("offsets", ".csv");
        try (var plan = new PrintWriter(file.toFile())) {
            plan.printf("%s,0,2%n%s,1,8%n", topic, topic);
        }
        row(said("--reset-offsets", "--group", group, "--from-file", file.toString(), "--execute"), topic, "1", "8");
        Files.delete(file);
        says(topic + ",0,2", "--reset-offsets", "--group", group, "--all-topics", "--to-current", "--dry-run", "--export");
        offsets("2 10 8", "8 10 2");

        row(said("--delete-offsets", "--group", group, "--topic", topic + ":0"), topic, "0", "Successful");
        offsets(null, "8 10 2");
        says("UnknownTopicOrPartition", "--delete-offsets", "--group", group, "--topic", topic + ":9");
    }

    static void whenGone() throws Exception {
        says("Deletion of requested consumer groups ('" + group + "') was successful.", "--delete", "--group", group);
        says("GroupIdNotFoundException", "--delete", "--group", group);
        says("Group " + group + " not found.", "--describe", "--group", group);
        check(!said("--list").contains(group), group + " is still listed");
        for (var name : List.of(topic, other)) Tools.said(Tools::topics, "--delete", "--topic", name);
    }

    /** Committed, end and lag of each partition of the topic; null where nothing is committed. */
    static void offsets(String... expected) throws Exception {
        var said = said("--describe", "--group", group);
        for (int partition = 0; partition < expected.length; partition++) {
            var row = topic + " " + partition;
            if (expected[partition] != null) row(said, (row + " " + expected[partition]).split(" "));
            else check(!hasRow(said, row.split(" ")), "a row has " + row + " in:\n" + said);
        }
    }

    static void reset(String expected, String... how) throws Exception {
        var args = new ArrayList<>(List.of("--reset-offsets", "--group", group, "--topic", topic));
        args.addAll(List.of(how));
        var said = said(args.toArray(String[]::new));
        var offsets = expected.split(" ");
        for (int partition = 0; partition < offsets.length; partition++) {
            row(said, group, topic, Integer.toString(partition), offsets[partition]);
        }
    }

    static void row(String said, String... words) {
        check(hasRow(said, words), "no row has " + String.join(" ", words) + " in:\n" + said);
    }

    /** Whether a row of what was printed has these words, in this order. */
    static boolean hasRow(String said, String... words) {
        return said.lines().anyMatch(line -> {
            var rest = List.of(words).iterator();
            var next = rest.next();
            for (var column : line.trim().split("\\s+")) {
                if (!column.equals(next)) continue;
                if (!rest.hasNext()) return true;
                next = rest.next();
            }
            return false;
        });
    }

    static TopicPartition partition(int index) {
        return new TopicPartition(topic, index);
    }

    static void says(String expected, String... args) throws Exception {
        var said = said(args);
        check(said.contains(expected), String.join(" ", args) + " does not say `" + expected + "` but:\n" + said);
    }

    static String said(String... args) throws Exception {
        var all = new ArrayList<>(List.of("--bootstrap-server", Tools.BOOTSTRAP));
        all.addAll(List.of(args));
        return Tools.said(ConsumerGroupCommand::main, all.toArray(String[]::new));
    }

    static void check(boolean condition, String message) {
        Tools.check(condition, message);
    }
}
