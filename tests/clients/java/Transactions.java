import java.time.Duration;
import java.util.*;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

/** The transactions of tests/clients/README.md, by Apache Kafka's own client. */
public class Transactions {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final String RUN = Long.toString(System.currentTimeMillis(), 36) + "-" + ProcessHandle.current().pid();
    static final String IN = "java-in-" + RUN, OUT = "java-out-" + RUN, GROUP = "java-group-" + RUN, ID = "java-id-" + RUN;
    static final int PARTITIONS = 2, INPUTS = 40;
    static final List<TopicPartition> OUTS = IntStream.range(0, PARTITIONS).mapToObj(at -> new TopicPartition(OUT, at)).toList();

    /** What is committed, in the order of each partition. */
    static final List<String> committed = new ArrayList<>();

    public static void main(String[] args) throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP))) {
            admin.createTopics(List.of(new NewTopic(IN, 1, (short) 1), new NewTopic(OUT, PARTITIONS, (short) 1))).all().get();
            live(admin);
            admin.deleteTopics(List.of(IN, OUT)).all().get();
        }
        System.out.println(committed.size() + " records committed");
    }

    static void live(Admin admin) throws Exception {
        var producer = producer(ID);
        producer.initTransactions();

        // All of a commit is seen.
        producer.beginTransaction();
        send(producer, "first");
        producer.commitTransaction();
        commit("first");
        sees("a commit");

        // An open transaction is not, nor what comes behind it.
        producer.beginTransaction();
        send(producer, "aborted");
        producer.flush();
        try (var plain = producer(null)) {
            for (var partition : OUTS) plain.send(new ProducerRecord<>(OUT, partition.partition(), null, "plain")).get();
        }
        sees("before the transaction that is open");
        check(ends(admin, IsolationLevel.READ_COMMITTED) < ends(admin, IsolationLevel.READ_UNCOMMITTED), "the end is stable");
        var described = admin.describeTransactions(List.of(ID)).description(ID).get();
        check(described.state() == TransactionState.ONGOING && described.topicPartitions().equals(Set.copyOf(OUTS)), described.toString());
        var active = admin.describeProducers(OUTS).partitionResult(OUTS.get(0)).get().activeProducers();
        check(active.stream().anyMatch(each -> each.producerId() == described.producerId()
            && each.currentTransactionStartOffset().isPresent()), active.toString());

        // Nothing of an abort is seen, but by those who read everything.
        producer.abortTransaction();
        OUTS.forEach(partition -> committed.add("plain"));
        sees("after an abort");
        check(read("read_uncommitted").stream().filter(value -> value.startsWith("aborted")).count() == 10, "aborted records are there");
        var state = until(() -> state(admin), TransactionState.COMPLETE_ABORT);
        check(state == TransactionState.COMPLETE_ABORT, "the transaction is " + state);
        check(admin.listTransactions().all().get().stream().anyMatch(each -> each.transactionalId().equals(ID)), "it is listed");

        // A new producer of the same id fences the old one, and ends what it had open.
        producer.beginTransaction();
        send(producer, "zombie");
        producer.flush();
        var next = producer(ID);
        next.initTransactions();
        try {
            send(producer, "zombie");
            producer.commitTransaction();
            check(false, "a zombie committed");
        } catch (ProducerFencedException | InvalidProducerEpochException | TransactionAbortableException fenced) {
        } catch (KafkaException fenced) {
            check(fenced.getCause() instanceof ProducerFencedException || fenced.getCause() instanceof InvalidProducerEpochException, fenced.toString());
        }
        producer.close(Duration.ZERO);
        next.beginTransaction();
        send(next, "second");
        next.commitTransaction();
        commit("second");
        sees("a zombie was fenced");

        // From topic to topic, exactly once: every third batch is aborted and read again.
        try (var plain = producer(null)) {
            for (int at = 0; at < INPUTS; at++) plain.send(new ProducerRecord<>(IN, "in-" + at));
        }
        transform(next);
        for (int at = 0; at < INPUTS; at++) committed.add("out of in-" + at);
        sees("what was transformed");
        var offsets = admin.listConsumerGroupOffsets(GROUP).partitionsToOffsetAndMetadata().get();
        check(offsets.get(new TopicPartition(IN, 0)).offset() == INPUTS, offsets.toString());
        next.close();
    }

    static void transform(KafkaProducer<String, String> producer) {
        try (var consumer = consumer("read_committed", Map.of("group.id", GROUP, "max.poll.records", 4))) {
            consumer.subscribe(List.of(IN));
            var partition = new TopicPartition(IN, 0);
            var deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
            for (int batch = 0, done = 0; done < INPUTS; ) {
                check(System.nanoTime() < deadline, "timed out after " + done + " inputs");
                var records = consumer.poll(Duration.ofMillis(200)).records(partition);
                if (records.isEmpty()) continue;
                producer.beginTransaction();
                for (var record : records) {
                    producer.send(new ProducerRecord<>(OUT, (int) record.offset() % PARTITIONS, null, "out of " + record.value()));
                }
                var after = records.get(records.size() - 1).offset() + 1;
                producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(after)), consumer.groupMetadata());
                if (batch++ % 3 == 2) {
                    producer.abortTransaction();
                    consumer.seek(partition, records.get(0).offset());
                } else {
                    producer.commitTransaction();
                    done += records.size();
                    var known = consumer.committed(Set.of(partition)).get(partition);
                    check(known.offset() == after, "committed " + known + " and not " + after);
                }
            }
        }
    }

    static TransactionState state(Admin admin) {
        try {
            return admin.describeTransactions(List.of(ID)).description(ID).get().state();
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    static void send(Producer<String, String> producer, String what) {
        for (int at = 0; at < 10; at++) producer.send(new ProducerRecord<>(OUT, at % PARTITIONS, null, what + "-" + at));
    }

    static void commit(String what) {
        for (int at = 0; at < 10; at++) committed.add(what + "-" + at);
    }

    /** Who reads what is committed finds exactly that. */
    static void sees(String when) {
        var deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        List<String> found;
        do found = read("read_committed"); while (found.size() < committed.size() && System.nanoTime() < deadline);
        var expected = new ArrayList<>(committed);
        Collections.sort(expected);
        check(found.equals(expected), when + ": " + found + " and not " + expected);
    }

    static List<String> read(String isolation) {
        try (var consumer = consumer(isolation, Map.of())) {
            consumer.assign(OUTS);
            consumer.seekToBeginning(OUTS);
            var ends = consumer.endOffsets(OUTS);
            var found = new ArrayList<String>();
            var deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (OUTS.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                check(System.nanoTime() < deadline, "timed out reading to " + ends);
                consumer.poll(Duration.ofMillis(100)).forEach(record -> found.add(record.value()));
            }
            Collections.sort(found);
            return found;
        }
    }

    static long ends(Admin admin, IsolationLevel isolation) throws Exception {
        var latest = OUTS.stream().collect(Collectors.toMap(partition -> partition, partition -> OffsetSpec.latest()));
        return admin.listOffsets(latest, new ListOffsetsOptions(isolation)).all().get().values().stream()
            .mapToLong(ListOffsetsResult.ListOffsetsResultInfo::offset).sum();
    }

    static KafkaProducer<String, String> producer(String id) {
        var config = new HashMap<String, Object>(Map.of("bootstrap.servers", BOOTSTRAP, "linger.ms", 0, "retry.backoff.ms", 20));
        if (id != null) config.put("transactional.id", id);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String isolation, Map<String, Object> more) {
        var config = new HashMap<String, Object>(Map.of("bootstrap.servers", BOOTSTRAP, "isolation.level", isolation,
            "auto.offset.reset", "earliest", "enable.auto.commit", false, "fetch.max.wait.ms", 50));
        config.putAll(more);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    static <T> T until(java.util.function.Supplier<T> get, T wanted) {
        var deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        T got;
        do got = get.get(); while (!got.equals(wanted) && System.nanoTime() < deadline);
        return got;
    }

    static void check(boolean condition, String message) {
        if (!condition) throw new AssertionError(message);
    }
}
