import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Consumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.PrimitiveRef;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.common.MetadataVersion;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogValidator;

/**
 * Writes what Apache Kafka 3.9.1 makes of message sets of formats 0 and 1 and, for readers that know nothing newer, of
 * batches: `tests/wire/message-sets.mjs` runs it.
 */
public final class MessageSets {
    /** As many bytes of payload as one of the sets has. */
    static final int LARGE = 300;
    static final List<CompressionType> CODECS =
        List.of(CompressionType.NONE, CompressionType.GZIP, CompressionType.SNAPPY, CompressionType.LZ4);

    static final byte[] NULL = null;

    private final List<String> lines = new ArrayList<>();

    /** MessageSets OUT-FILE */
    public static void main(String[] arguments) throws Exception {
        MessageSets sets = new MessageSets();
        for (CompressionType codec : CODECS) {
            for (byte magic = 0; magic <= 1; magic++) sets.up(codec, magic);
            for (TimestampType type : List.of(TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME)) {
                for (byte magic = 0; magic <= 1; magic++) sets.down(codec, type, magic);
            }
        }
        Files.write(Path.of(arguments[0]), sets.lines);
    }

    /** A set as a client makes it, and the batch that is stored of it at offset 100, in a topic that keeps codecs. */
    private void up(CompressionType codec, byte magic) {
        TimestampType type = magic == 0 ? TimestampType.NO_TIMESTAMP_TYPE : TimestampType.CREATE_TIME;
        MemoryRecords set = build(magic, codec, type, 0, false, builder -> {
            builder.append(1_600_000_000_005L, bytes("key"), bytes("value"));
            builder.append(1_600_000_000_009L, null, bytes("no key"));
            builder.append(1_600_000_000_001L, bytes("no value"), null);
            builder.append(RecordBatch.NO_TIMESTAMP, NULL, NULL);
            builder.append(1_600_000_000_002L, bytes(""), new byte[LARGE]);
        });
        String in = hex(set);
        LogValidator validator = new LogValidator(
            set, new TopicPartition("t", 0), Time.SYSTEM, codec, Compression.of(codec).build(), false,
            RecordBatch.MAGIC_VALUE_V2, TimestampType.CREATE_TIME, Long.MAX_VALUE, Long.MAX_VALUE, 7,
            AppendOrigin.CLIENT, MetadataVersion.latestProduction());
        MemoryRecords stored = validator.validateMessagesAndAssignOffsets(
            PrimitiveRef.ofLong(100), new Silent(), BufferSupplier.NO_CACHING).validatedRecords;
        lines.add("up " + codec.name + " " + magic + " " + in + " " + hex(stored));
    }

    /** Three batches and a marker, and what a fetch from offset 501 gets of them. */
    private void down(CompressionType codec, TimestampType type, byte magic) {
        Header[] headers = {new RecordHeader("header", bytes("lost"))};
        MemoryRecords first = build(RecordBatch.MAGIC_VALUE_V2, codec, type, 500, false, builder -> {
            builder.append(1_600_000_000_005L, bytes("before"), bytes("the fetch"));
            builder.append(1_600_000_000_009L, null, bytes("no key"));
            builder.append(1_600_000_000_001L, bytes("no value"), null, headers);
        });
        MemoryRecords marker = build(RecordBatch.MAGIC_VALUE_V2, CompressionType.NONE, type, 503, true, builder ->
            builder.appendEndTxnMarker(1_600_000_000_000L, new EndTransactionMarker(ControlRecordType.COMMIT, 0)));
        // Compaction leaves gaps.
        MemoryRecords second = build(RecordBatch.MAGIC_VALUE_V2, codec, type, 510, false, builder -> {
            builder.appendWithOffset(512, 1_600_000_000_020L, bytes("after"), bytes("a gap"));
            builder.appendWithOffset(519, 1_600_000_000_010L, NULL, NULL, new Header[0]);
        });
        MemoryRecords third = build(RecordBatch.MAGIC_VALUE_V2, codec, type, 520, false, builder ->
            builder.append(RecordBatch.NO_TIMESTAMP, bytes(""), new byte[LARGE]));
        ByteBuffer all = ByteBuffer.allocate(
            first.sizeInBytes() + marker.sizeInBytes() + second.sizeInBytes() + third.sizeInBytes());
        for (MemoryRecords part : List.of(first, marker, second, third)) all.put(part.buffer().duplicate());
        all.flip();
        MemoryRecords log = MemoryRecords.readableRecords(all);
        MemoryRecords answer = log.downConvert(magic, 501, Time.SYSTEM).records();
        lines.add("down " + codec.name + " " + magic + " " + hex(log) + " " + hex(answer));
    }

    private static MemoryRecords build(
            byte magic, CompressionType codec, TimestampType type, long offset, boolean control,
            Consumer<MemoryRecordsBuilder> records) {
        long producerId = control ? 9 : RecordBatch.NO_PRODUCER_ID;
        short epoch = control ? 0 : RecordBatch.NO_PRODUCER_EPOCH;
        try (MemoryRecordsBuilder builder = new MemoryRecordsBuilder(
                ByteBuffer.allocate(4 * LARGE), magic, Compression.of(codec).build(), type, offset, 1_700_000_000_000L,
                producerId, epoch, RecordBatch.NO_SEQUENCE, control, control, 7, 4 * LARGE)) {
            records.accept(builder);
            return builder.build();
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
    }

    private static String hex(MemoryRecords records) {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return HexFormat.of().formatHex(bytes);
    }

    private static final class Silent implements LogValidator.MetricsRecorder {
        @Override public void recordInvalidMagic() {}
        @Override public void recordInvalidOffset() {}
        @Override public void recordInvalidSequence() {}
        @Override public void recordInvalidChecksums() {}
        @Override public void recordNoKeyCompactedTopic() {}
    }
}
