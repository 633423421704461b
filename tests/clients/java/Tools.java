import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.tools.*;
import org.apache.kafka.tools.consumer.ConsoleConsumer;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

/** Apache Kafka's console tools, as the scripts of every tutorial call them; each call is checked by what it prints. */
public class Tools {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final PrintStream OUT = System.out, ERR = System.err;
    static int calls;

    interface Tool {
        void run(String... args) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        var run = Long.toString(System.currentTimeMillis(), 36) + "-" + ProcessHandle.current().pid();
        var topic = "tools-" + run;
        var group = "tools-group-" + run;

        says(Tools::topics, "Created topic " + topic + ".", "--create", "--topic", topic, "--partitions", "3");
        says(Tools::topics, topic, "--list");
        says(Tools::topics, "PartitionCount: 3\tReplicationFactor: 1", "--describe", "--topic", topic);
        says(Tools::topics, "Topic: " + topic + "\tPartition: 2\tLeader: ", "--describe", "--topic", topic);

        System.setIn(new ByteArrayInputStream("one:first\ntwo:second\nthree:third\n".getBytes(StandardCharsets.UTF_8)));
        says(ConsoleProducer::main, "", "--bootstrap-server", BOOTSTRAP, "--topic", topic, "--reader-property", "parse.key=true",
            "--reader-property", "key.separator=:");
        for (var line : List.of("one:first", "two:second", "three:third")) {
            says(ConsoleConsumer::main, line, "--bootstrap-server", BOOTSTRAP, "--topic", topic, "--from-beginning",
                "--max-messages", "3", "--group", group + "-" + line.charAt(1), "--formatter-property", "print.key=true",
                "--formatter-property", "key.separator=:");
        }
        var mine = group + "-n";
        says(ConsumerGroupCommand::main, mine, "--bootstrap-server", BOOTSTRAP, "--list");
        says(ConsumerGroupCommand::main, topic, "--bootstrap-server", BOOTSTRAP, "--describe", "--group", mine);
        says(ConsumerGroupCommand::main, "Empty", "--bootstrap-server", BOOTSTRAP, "--describe", "--group", mine, "--state");
        says(GetOffsetShell::main, topic + ":2:", "--bootstrap-server", BOOTSTRAP, "--topic", topic);
        says(kafka.admin.ConfigCommand::main, "Dynamic configs for topic " + topic + " are:", "--bootstrap-server", BOOTSTRAP,
            "--describe", "--entity-type", "topics", "--entity-name", topic);
        says(kafka.admin.ConfigCommand::main, "retention.ms=604800000", "--bootstrap-server", BOOTSTRAP, "--describe", "--all",
            "--entity-type", "topics", "--entity-name", topic);
        says(ClusterTool::main, "Cluster ID: ", "cluster-id", "--bootstrap-server", BOOTSTRAP);
        says(Tools::topics, "", "--delete", "--topic", topic);
        check(!said(Tools::topics, "--list").contains(topic), topic + " is still listed");
        OUT.println(calls + " calls of console tools");
    }

    static void topics(String... args) throws Exception {
        var all = new ArrayList<>(List.of("--bootstrap-server", BOOTSTRAP));
        all.addAll(List.of(args));
        TopicCommand.main(all.toArray(String[]::new));
    }

    static void says(Tool tool, String expected, String... args) throws Exception {
        var said = said(tool, args);
        check(said.contains(expected), String.join(" ", args) + " does not say `" + expected + "` but:\n" + said);
    }

    /** What a tool prints. Its first exit status decides; a tool that would end this process goes on to its own end. */
    static String said(Tool tool, String... args) throws Exception {
        calls++;
        var bytes = new ByteArrayOutputStream();
        var print = new PrintStream(bytes, true, StandardCharsets.UTF_8);
        var statuses = new ArrayList<Integer>();
        org.apache.kafka.common.utils.Exit.setExitProcedure((status, message) -> statuses.add(status));
        System.setOut(print);
        System.setErr(print);
        try {
            tool.run(args);
        } finally {
            System.setOut(OUT);
            System.setErr(ERR);
        }
        var said = bytes.toString(StandardCharsets.UTF_8);
        check(statuses.isEmpty() || statuses.get(0) == 0, String.join(" ", args) + " failed:\n" + said);
        return said;
    }

    static void check(boolean condition, String message) {
        if (!condition) throw new AssertionError(message);
    }
}
