import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;

/** A JVM of its own that runs one of Kafka's main classes with a properties file: it can be killed. */
class Application implements AutoCloseable {
    private final Process process;
    private final Path log;

    /** Files are below `home`, which the caller deletes. */
    Application(Path home, String name, Class<?> main, Map<String, ?> settings) throws IOException {
        var properties = new Properties();
        settings.forEach((key, value) -> properties.setProperty(key, value.toString()));
        var file = home.resolve(name + ".properties");
        try (var out = Files.newOutputStream(file)) {
            properties.store(out, null);
        }
        log = home.resolve(name + ".log");
        var client = System.getenv("CLIENT_HOME");
        process = new ProcessBuilder("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp", client + "/log/*:" + client + "/lib/*", main.getName(), file.toString())
            .redirectErrorStream(true).redirectOutput(log.toFile()).start();
        // Nothing outlives the test.
        Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
    }

    /** As `kill -9` does. */
    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    /** As an operator stops it. */
    @Override
    public void close() throws InterruptedException {
        process.destroy();
        process.waitFor();
    }

    /** Why it may be that something does not happen. */
    String said() {
        try {
            return (process.isAlive() ? "runs, and said:\n" : "ended, and said:\n") + Files.readString(log);
        } catch (IOException error) {
            return error.toString();
        }
    }
}
