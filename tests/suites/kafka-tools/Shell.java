import java.io.*;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.utils.Exit;

/**
 * `Shell SESSION BROKER LOGS LAG` runs the commands of a session (README.md tells of its notation) in this one JVM, and
 * prints the session with what they say. After each it waits `LAG` milliseconds.
 */
public class Shell {
    /** A tool's class, and how it is told of the broker: before or behind what else it is told. */
    record Tool(String main, Place place, String option) {}

    enum Place { BEFORE, BEHIND, NOWHERE }

    static final Map<String, Tool> TOOLS = new HashMap<>();
    /** They end with `System.exit`, or say their last words in a shutdown hook: each has a JVM of its own. */
    static final Set<String> OWN_PROCESS = Set.of("kafka-verifiable-producer", "kafka-verifiable-consumer", "kafka-replica-verification");
    /** What is the last that is waited for of a tool that never ends. */
    static final Map<String, String> STOPPED_AT = Map.of("kafka-replica-verification", "max lag is");

    static void tool(String name, String main, Place place, String option) {
        TOOLS.put(name, new Tool(main, place, option));
    }

    static {
        var tools = "org.apache.kafka.tools.";
        var server = "--bootstrap-server";
        tool("kafka-acls", tools + "AclCommand", Place.BEHIND, server);
        tool("kafka-broker-api-versions", tools + "BrokerApiVersionsCommand", Place.BEHIND, server);
        tool("kafka-client-compatibility", tools + "ClientCompatibilityTest", Place.BEHIND, server);
        tool("kafka-client-metrics", tools + "ClientMetricsCommand", Place.BEHIND, server);
        tool("kafka-cluster", tools + "ClusterTool", Place.BEHIND, server);
        tool("kafka-configs", "kafka.admin.ConfigCommand", Place.BEHIND, server);
        tool("kafka-console-consumer", tools + "consumer.ConsoleConsumer", Place.BEHIND, server);
        tool("kafka-console-producer", tools + "ConsoleProducer", Place.BEHIND, server);
        tool("kafka-consumer-groups", tools + "consumer.group.ConsumerGroupCommand", Place.BEHIND, server);
        tool("kafka-consumer-perf-test", tools + "ConsumerPerformance", Place.BEHIND, server);
        tool("kafka-delegation-tokens", tools + "DelegationTokenCommand", Place.BEHIND, server);
        tool("kafka-delete-records", tools + "DeleteRecordsCommand", Place.BEHIND, server);
        tool("kafka-dump-log", tools + "DumpLogSegments", Place.NOWHERE, "");
        tool("kafka-e2e-latency", tools + "EndToEndLatency", Place.BEHIND, server);
        tool("kafka-features", tools + "FeatureCommand", Place.BEFORE, server);
        tool("kafka-get-offsets", tools + "GetOffsetShell", Place.BEHIND, server);
        tool("kafka-groups", tools + "GroupsCommand", Place.BEHIND, server);
        tool("kafka-leader-election", tools + "LeaderElectionCommand", Place.BEHIND, server);
        tool("kafka-log-dirs", tools + "LogDirsCommand", Place.BEHIND, server);
        tool("kafka-metadata-quorum", tools + "MetadataQuorumCommand", Place.BEFORE, server);
        tool("kafka-producer-perf-test", tools + "ProducerPerformance", Place.BEHIND, server);
        tool("kafka-reassign-partitions", tools + "reassign.ReassignPartitionsCommand", Place.BEHIND, server);
        tool("kafka-replica-verification", tools + "ReplicaVerificationTool", Place.BEHIND, "--broker-list");
        tool("kafka-streams-application-reset", tools + "StreamsResetter", Place.BEHIND, server);
        tool("kafka-topics", tools + "TopicCommand", Place.BEHIND, server);
        tool("kafka-transactional-copier", tools + "TransactionalMessageCopier", Place.BEHIND, "--broker-list");
        tool("kafka-transactions", tools + "TransactionsCommand", Place.BEFORE, server);
        tool("kafka-verifiable-consumer", tools + "VerifiableConsumer", Place.BEHIND, server);
        tool("kafka-verifiable-producer", tools + "VerifiableProducer", Place.BEHIND, server);
    }

    static final long LIMIT_MS = 60_000;
    static final PrintStream OUT = System.out;
    static String broker, logs;
    static long lag;

    public static void main(String[] args) throws Exception {
        broker = args[1];
        logs = args[2];
        lag = Long.parseLong(args[3]);
        play(Files.readAllLines(Path.of(args[0]))).forEach(OUT::println);
        OUT.flush();
        // A tool may have left threads.
        Runtime.getRuntime().halt(0);
    }

    /** The session without what it says of earlier output, with the output of now. */
    static List<String> play(List<String> session) throws Exception {
        var played = new ArrayList<String>();
        for (int at = 0; at < session.size(); ) {
            var line = session.get(at++);
            if (!line.startsWith("|") && !line.startsWith("? ")) played.add(line);
            if (!line.startsWith("$ ")) continue;
            var input = new ArrayList<String>();
            for (; at < session.size() && (session.get(at).startsWith("< ") || session.get(at).startsWith("~ ")); at++) {
                played.add(session.get(at));
                if (session.get(at).startsWith("< ")) input.add(session.get(at).substring(2));
            }
            played.addAll(run(line.substring(2), input));
            Thread.sleep(lag);
        }
        return played;
    }

    static List<String> run(String command, List<String> input) throws Exception {
        var file = Files.createTempFile("input-", ".txt");
        Files.write(file, input);
        var words = new ArrayList<>(words(command.replace("@input", file.toString()).replace("@logs", logs).replace("@broker", broker)));
        var name = words.remove(0);
        var tool = TOOLS.get(name);
        if (tool == null) throw new IllegalArgumentException("there is no tool " + name);
        if (!command.contains("@broker")) {
            switch (tool.place) {
                case BEFORE -> words.addAll(0, List.of(tool.option, broker));
                case BEHIND -> words.addAll(List.of(tool.option, broker));
                case NOWHERE -> { }
            }
        }
        var said = OWN_PROCESS.contains(name) ? ofProcess(tool.main, words, STOPPED_AT.get(name)) : here(tool.main, words, input);
        Files.delete(file);
        return said;
    }

    /** As a shell splits words, with single quotes alone. */
    static List<String> words(String command) {
        var words = new ArrayList<String>();
        var matcher = java.util.regex.Pattern.compile("(?:'[^']*'|[^\\s'])+").matcher(command);
        while (matcher.find()) words.add(matcher.group().replace("'", ""));
        return words;
    }

    /** Thrown where a tool would end its process. */
    static class Ended extends Error {}

    static List<String> here(String main, List<String> words, List<String> input) throws Exception {
        var bytes = new ByteArrayOutputStream();
        var status = new Integer[1];
        // What would come after the end of the process is not said.
        var print = new PrintStream(new FilterOutputStream(bytes) {
            @Override
            public void write(int one) throws IOException {
                if (status[0] == null) super.write(one);
            }
        }, true, StandardCharsets.UTF_8);
        Exit.Procedure end = (code, message) -> {
            if (status[0] == null) {
                status[0] = code;
            }
            throw new Ended();
        };
        var hooks = new ArrayList<Runnable>();
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        var failure = new Throwable[1];
        var thread = new Thread(() -> {
            try {
                Class.forName(main).getMethod("main", String[].class).invoke(null, (Object) words.toArray(String[]::new));
            } catch (InvocationTargetException thrown) {
                if (!(thrown.getCause() instanceof Ended)) failure[0] = thrown.getCause();
            } catch (ReflectiveOperationException impossible) {
                failure[0] = impossible;
            }
        });
        var out = System.out;
        var err = System.err;
        System.setIn(new ByteArrayInputStream((String.join("\n", input) + "\n").getBytes(StandardCharsets.UTF_8)));
        System.setOut(print);
        System.setErr(print);
        try {
            thread.start();
            thread.join(LIMIT_MS);
            hooks.forEach(Runnable::run);
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
        // As the JVM does with what nobody catches.
        if (failure[0] != null) print.println("Exception in thread \"main\" " + failure[0]);
        var said = said(bytes.toString(StandardCharsets.UTF_8));
        if (thread.isAlive()) said.add("? no end");
        else if (failure[0] != null) said.add("? 1");
        else if (status[0] != null && status[0] != 0) said.add("? " + status[0]);
        return said;
    }

    static List<String> ofProcess(String main, List<String> words, String stoppedAt) throws Exception {
        var command = new ArrayList<>(List.of("java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"), main));
        command.addAll(words);
        var process = new ProcessBuilder(command).redirectErrorStream(true).start();
        var limit = new Timer(true);
        limit.schedule(new TimerTask() {
            @Override
            public void run() {
                process.destroyForcibly();
            }
        }, LIMIT_MS);
        var text = new StringBuilder();
        var stopped = false;
        for (var line : (Iterable<String>) process.inputReader().lines()::iterator) {
            text.append(line).append('\n');
            if (stoppedAt == null || !line.contains(stoppedAt)) continue;
            process.destroyForcibly();
            stopped = true;
            break;
        }
        var status = process.waitFor();
        limit.cancel();
        var said = said(text.toString());
        if (status != 0 && !stopped) said.add("? " + status);
        return said;
    }

    static List<String> said(String text) {
        var said = new ArrayList<String>();
        text.lines().forEach(line -> said.add(line.isBlank() ? "|" : "| " + line.stripTrailing()));
        return said;
    }
}
