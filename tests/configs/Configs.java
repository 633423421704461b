import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import kafka.server.KafkaConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.apache.kafka.storage.internals.log.LogConfig;

/**
 * Writes what Apache Kafka says to a broker's static configs, each value alone and some together: `configs.mjs` runs it.
 */
public class Configs {
    /** What a node is, where it listens and stores, whom it trusts: our hosts have options for it, or do not have it. */
    private static final Set<String> OF_HOSTS = Set.of(
        "advertised.listeners", "controller.listener.names", "controller.quorum.bootstrap.servers",
        "controller.quorum.voters", "early.start.listeners", "inter.broker.listener.name", "listeners",
        "listener.security.protocol.map", "log.dir", "log.dirs", "metadata.log.dir", "cordoned.log.dirs", "node.id",
        "broker.id", "process.roles", "security.inter.broker.protocol", "authorizer.class.name",
        "remote.log.storage.system.enable");

    private static final Pattern NUMBER = Pattern.compile("-?\\d+(\\.\\d+)?");

    public static void main(String[] args) throws Exception {
        try (PrintStream out = new PrintStream(Files.newOutputStream(Path.of(args[0])), false, "UTF-8")) {
            out.println("# What Apache Kafka 4.3.1 says to these static configs of a broker; nothing where it takes them.");
            out.println("# Written by tests/configs/configs.mjs.");
            for (ConfigDef.ConfigKey key : new TreeMap<>(AbstractKafkaConfig.CONFIG_DEF.configKeys()).values()) {
                if (key.internalConfig || OF_HOSTS.contains(key.name)) continue;
                for (String value : values(key)) say(out, key.name + "=" + value);
            }
            for (String line : Files.readAllLines(Path.of(args[1]))) if (!line.isEmpty() && !line.startsWith("#")) say(out, line);
        }
    }

    private static void say(PrintStream out, String configs) {
        Map<String, String> given = new LinkedHashMap<>();
        for (String config : configs.split(" & ")) {
            int at = config.indexOf('=');
            given.put(config.substring(0, at), config.substring(at + 1));
        }
        out.println((configs + " => " + outcome(given)).stripTrailing());
    }

    private static String outcome(Map<String, String> given) {
        Properties properties = new Properties();
        properties.putAll(Map.of(
            "node.id", "1", "process.roles", "broker,controller", "controller.quorum.voters", "1@127.0.0.1:9093",
            "controller.listener.names", "CONTROLLER", "log.dirs", "/tmp/kafka-logs",
            "listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
            "listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"));
        properties.putAll(given);
        try {
            KafkaConfig config = KafkaConfig.fromProps(properties, false);
            // As the log manager does at the start.
            Map<String, Object> log = config.extractLogConfigMap();
            LogConfig.validateBrokerLogConfigValues(log, config.remoteLogManagerConfig().isRemoteStorageSystemEnabled());
            new LogConfig(log);
            return "";
        } catch (Throwable refusal) {
            return String.valueOf(refusal.getMessage());
        }
    }

    /** Values at the bounds and beyond, and of the wrong type. */
    private static List<String> values(ConfigDef.ConfigKey key) {
        Set<String> values = new LinkedHashSet<>();
        String bounds = String.valueOf(key.validator);
        switch (key.type) {
            case BOOLEAN -> values.addAll(List.of("TRUE", "yes"));
            case INT, SHORT, LONG -> {
                values.addAll(List.of("many", "-1", "0"));
                values.add(switch (key.type) {
                    case INT -> "2147483648";
                    case SHORT -> "32768";
                    default -> "9223372036854775808";
                });
                for (Matcher number = NUMBER.matcher(bounds); number.find();) {
                    long bound = Long.parseLong(number.group());
                    values.addAll(List.of("" + (bound - 1), "" + bound, "" + (bound + 1)));
                    values.add(" +" + (Math.abs(bound) + 1) + " ");
                }
            }
            case DOUBLE -> {
                values.addAll(List.of("half", "-0.25", "0", ".5", "1"));
                for (Matcher number = NUMBER.matcher(bounds); number.find();) values.add(number.group() + "1");
            }
            case LIST -> {
                values.addAll(List.of("", "a", "a,a", "a,,b"));
                if (bounds.startsWith("[")) values.add(bounds.substring(1, bounds.length() - 1));
            }
            case CLASS -> {
                values.add("org.example.Missing");
                if (key.defaultValue instanceof Class<?> known) values.add(known.getName());
            }
            case STRING -> {
                values.addAll(List.of("", "text"));
                if (bounds.contains("[")) {
                    for (String one : bounds.substring(bounds.indexOf('[') + 1, bounds.length() - 1).split(", ")) {
                        values.addAll(List.of(one, one.toLowerCase()));
                    }
                }
            }
            default -> values.add("secret");
        }
        return new ArrayList<>(values);
    }
}
