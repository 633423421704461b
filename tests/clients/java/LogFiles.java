import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.Cleaner;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogToClean;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.SkimpyOffsetMap;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.utils.Throttler;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;
import org.apache.kafka.tools.DumpLogSegments;

/**
 * A log that we wrote, opened and cleaned by Apache Kafka's own classes beside ours: every file is the same, byte for
 * byte, after every round, and each of us reads the same in what the other has cleaned.
 */
public class LogFiles {
    static final long NOW = 1_700_000_000_000L;
    /** Tombstones and markers go in the third round: the horizons of the first and the second are past then. */
    static final int[] HOURS = {2, 3, 40};

    public static void main(String[] args) throws Exception {
        String ours = args[0];
        Path folder = Files.createTempDirectory("shore-log");
        int files = 0;
        for (int seed = 1; seed <= 4; seed++) {
            Path left = folder.resolve("ours" + seed);
            Path right = folder.resolve("theirs" + seed);
            run(ours, "write", left.toString(), "" + seed);
            copy(left.resolve("t-0"), right.resolve("t-0"));
            for (int round = 0; round < HOURS.length; round++) {
                run(ours, "clean", left.toString(), "" + HOURS[round]);
                // At first it takes nothing on trust, and makes indexes and producers anew.
                clean(right.resolve("t-0"), HOURS[round], round > 0);
                files += same(left.resolve("t-0"), right.resolve("t-0"));
            }
            check(run(ours, "show", left.toString()).equals(run(ours, "show", right.toString())), "a reader finds the same");
            dump(left.resolve("t-0"));
        }
        try (Stream<Path> all = Files.walk(folder)) {
            all.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
        }
        System.out.println(files + " files of " + 4 * HOURS.length + " rounds are the same");
        System.exit(0);
    }

    static void clean(Path dir, int hours, boolean lastShutdownClean) throws Exception {
        Time time = new At(NOW + hours * 3_600_000L);
        Properties props = new Properties();
        props.put("cleanup.policy", "compact");
        props.put("internal.segment.bytes", "16384");
        props.put("index.interval.bytes", "1024");
        props.put("file.delete.delay.ms", "0");
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        UnifiedLog log = UnifiedLog.create(dir.toFile(), new LogConfig(props), 0, lastShutdownClean ? Long.MAX_VALUE : 0,
            scheduler, new BrokerTopicStats(), time, 900_000, new ProducerStateManagerConfig(Integer.MAX_VALUE, false),
            600_000, new LogDirFailureChannel(1), lastShutdownClean, Optional.empty());
        log.updateHighWatermark(log.logEndOffset());
        Throttler throttler = new Throttler(Double.MAX_VALUE, Long.MAX_VALUE, "cleaner-io", "entries", Time.SYSTEM);
        Cleaner cleaner =
            new Cleaner(0, new SkimpyOffsetMap(4 << 20), 1 << 20, 32 << 20, 0.9, throttler, time, partition -> {});
        cleaner.clean(new LogToClean(log, 0, log.activeSegment().baseOffset(), false));
        log.close();
        scheduler.shutdown();
    }

    /** Snapshots are left out: Apache Kafka keeps one for each segment, where we keep those that recovery may need. */
    static int same(Path left, Path right) throws IOException {
        List<String> names = names(left);
        check(names.equals(names(right)), left + " has " + names + ", " + right + " has " + names(right));
        for (String name : names) {
            long at = Files.mismatch(left.resolve(name), right.resolve(name));
            check(at < 0, name + " of " + left + " differs at byte " + at);
        }
        return names.size();
    }

    static List<String> names(Path dir) throws IOException {
        try (Stream<Path> files = Files.list(dir)) {
            return files.map(file -> file.getFileName().toString())
                .filter(name -> name.startsWith("0") && !name.endsWith(".snapshot") && !name.endsWith(".deleted"))
                .sorted().toList();
        }
    }

    /** Apache Kafka's tool finds nothing wrong with any file. */
    static void dump(Path dir) throws IOException {
        List<String> files = new ArrayList<>();
        try (Stream<Path> all = Files.list(dir)) {
            all.map(Path::toString).filter(name -> !name.endsWith("checkpoint")).forEach(files::add);
        }
        PrintStream out = System.out;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        System.setOut(new PrintStream(said, true));
        DumpLogSegments.main(new String[] {"--print-data-log", "--files", String.join(",", files)});
        files.removeIf(name -> !name.endsWith("index"));
        DumpLogSegments.main(new String[] {"--index-sanity-check", "--files", String.join(",", files)});
        System.setOut(out);
        String text = said.toString();
        check(!text.toLowerCase().contains("mismatch") && !text.contains("isvalid: false"), text);
        check(text.contains("passed sanity check."), text);
        check(text.contains("lastStableOffset: ") && text.contains("deleteHorizonMs: OptionalLong["), text);
    }

    static void copy(Path from, Path to) throws IOException {
        Files.createDirectories(to);
        try (Stream<Path> files = Files.list(from)) {
            for (Path file : files.toList()) {
                Files.copy(file, to.resolve(file.getFileName()));
            }
        }
    }

    static String run(String... command) throws Exception {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes());
        check(process.waitFor() == 0, said);
        return said;
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** A clock that stands. */
    record At(long millis) implements Time {
        @Override
        public long milliseconds() {
            return millis;
        }

        @Override
        public long nanoseconds() {
            return millis * 1_000_000;
        }

        @Override
        public void sleep(long millis) {
        }

        @Override
        public void waitObject(Object object, Supplier<Boolean> condition, long deadline) {
        }
    }
}
