import java.lang.reflect.Field;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;

/**
 * Writes what Apache Kafka's own classes make of every message in every version: `tests/wire/messages.mjs` runs it.
 *
 * Three contents of each: `default` (nothing set), `filled` (every field of the version set, one element in each array of
 * structures and two in each of values), `nulls` (filled, but null wherever null may be). A value follows from its field's
 * name, so a reader that mixes up two fields is caught.
 */
public final class Messages {
    enum Content { DEFAULT, FILLED, NULLS }

    /** Bytes by version, direction and content. An older Kafka, run afterwards, adds only what is not there. */
    private final Map<String, String> lines = new TreeMap<>();

    /** Messages OUT-DIRECTORY [RECORD-CLASS]... */
    public static void main(String[] arguments) throws Exception {
        Path out = Path.of(arguments[0]);
        for (ApiMessageType api : ApiMessageType.values()) {
            Path file = file(out.resolve("messages"), api);
            Messages messages = new Messages();
            messages.read(file);
            // What an older Kafka tried out and a newer one does not have was never served.
            int newest = api.highestSupportedVersion(messages.lines.isEmpty());
            // Of an API that was removed, only the key is left.
            if (api.lowestSupportedVersion() > newest) continue;
            messages.write("request", api.newRequest().getClass(), api.requestSchemas(), newest);
            messages.write("response", api.newResponse().getClass(), api.responseSchemas(), newest);
            messages.save(file);
        }
        for (String name : List.of(arguments).subList(1, arguments.length)) {
            Class<?> type = Class.forName(name);
            Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
            Messages messages = new Messages();
            messages.write("record", type, schemas, schemas.length - 1);
            int key = ((ApiMessage) type.getDeclaredConstructor().newInstance()).apiKey();
            messages.save(out.resolve("records/" + (key < 0 ? "" : String.format("%02d-", key)) + type.getSimpleName() + ".hex"));
        }
    }

    private void write(String direction, Class<?> type, Schema[] schemas, int newest) throws Exception {
        for (short version = 0; version <= newest; version++) {
            if (schemas[version] == null) continue;
            String previous = null;
            for (Content content : Content.values()) {
                Message message = (Message) type.getDeclaredConstructor().newInstance();
                if (content != Content.DEFAULT) fill(message, schemas[version], content);
                // The schema of FetchSnapshot allows a null that its class does not.
                if (content == Content.NULLS && type.getSimpleName().equals("FetchSnapshotResponseData")) continue;
                String hex = HexFormat.of().formatHex(bytes(message, version));
                String id = String.format("v%02d %s %s", version, direction, content.name().toLowerCase(Locale.ROOT));
                // A version without a field that may be null has no third content.
                if (!hex.equals(previous)) lines.putIfAbsent(id, hex);
                previous = hex;
            }
        }
    }

    private static byte[] bytes(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        byte[] bytes = new byte[message.size(cache, version)];
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        message.write(new ByteBufferAccessor(buffer), cache, version);
        if (buffer.hasRemaining()) throw new IllegalStateException(message + " is shorter than its size");
        return bytes;
    }

    private static void fill(Object target, Schema schema, Content content) throws Exception {
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields section) {
                for (var field : tagged(section)) set(target, field.name, field.type, content);
            } else {
                set(target, bound.def.name, bound.def.type, content);
            }
        }
    }

    /** Older versions have no getter for them. */
    @SuppressWarnings("unchecked")
    private static Iterable<org.apache.kafka.common.protocol.types.Field> tagged(TaggedFields section) throws Exception {
        Field fields = TaggedFields.class.getDeclaredField("fields");
        fields.setAccessible(true);
        return ((Map<Integer, org.apache.kafka.common.protocol.types.Field>) fields.get(section)).values();
    }

    private static void set(Object target, String name, Type type, Content content) throws Exception {
        Field field = field(target, name);
        boolean isNull = content == Content.NULLS && type.isNullable();
        field.set(target, isNull ? null : value(name, type, field, field.get(target), content));
    }

    private static Field field(Object target, String name) {
        for (Field field : target.getClass().getDeclaredFields()) {
            if (plain(field.getName()).equals(plain(name))) {
                field.setAccessible(true);
                return field;
            }
        }
        throw new IllegalStateException(target.getClass() + " has no field " + name);
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static Object value(String name, Type type, Field field, Object unset, Content content) throws Exception {
        if (type.isArray()) {
            Type element = type.arrayElementType().get();
            Class<?> declared = field.getType();
            if (!(element instanceof Schema schema)) {
                return List.of(value(name, element, 0), value(name, element, 1));
            }
            ParameterizedType generic = (ParameterizedType)
                (declared == List.class ? field.getGenericType() : declared.getGenericSuperclass());
            Object structure = structure((Class<?>) generic.getActualTypeArguments()[0], schema, content);
            var collection = (java.util.Collection) (declared == List.class
                ? new ArrayList<>() : declared.getDeclaredConstructor().newInstance());
            collection.add(structure);
            return collection;
        }
        if (type instanceof Schema schema) return structure(field.getType(), schema, content);
        if (field.getType() == boolean.class) return !(Boolean) unset;
        Object value = value(name, type, 0);
        if (field.getType() == byte[].class) return value;
        if (field.getType() == ByteBuffer.class) return ByteBuffer.wrap((byte[]) value);
        if (value instanceof byte[] bytes) return records(ByteBuffer.wrap(bytes));
        return value;
    }

    /** What Kafka calls MemoryRecords has moved between its versions. */
    private static Object records(ByteBuffer bytes) throws Exception {
        Class<?> type;
        try {
            type = Class.forName("org.apache.kafka.common.record.internal.MemoryRecords");
        } catch (ClassNotFoundException older) {
            type = Class.forName("org.apache.kafka.common.record.MemoryRecords");
        }
        return type.getMethod("readableRecords", ByteBuffer.class).invoke(null, bytes);
    }

    private static Object structure(Class<?> type, Schema schema, Content content) throws Exception {
        var constructor = type.getDeclaredConstructor();
        constructor.setAccessible(true);
        Object structure = constructor.newInstance();
        fill(structure, schema, content);
        return structure;
    }

    /** What a field of this name and type holds; arrays of values hold several. */
    private static Object value(String name, Type type, int index) {
        long number = number(name) + index;
        return switch (type.toString().replace("COMPACT_", "").replace("NULLABLE_", "")) {
            case "INT8" -> (byte) (number & 0x7f);
            case "INT16" -> (short) (number & 0x7fff);
            case "UINT16" -> (int) (number & 0xffff);
            case "INT32" -> (int) (number & 0x7fff_ffff);
            case "UINT32" -> number & 0xffff_ffffL;
            case "INT64" -> number;
            case "FLOAT64" -> (double) (number & 0xffff) / 4;
            case "UUID" -> new Uuid(number, number);
            case "STRING" -> plain(name) + (index == 0 ? "" : index);
            case "BYTES", "RECORDS" -> plain(name).getBytes();
            default -> throw new IllegalStateException(name + " is of type " + type);
        };
    }

    /** FNV-1a of the plain name, without its sign, and odd: so it is never 0. */
    private static long number(String name) {
        long hash = 0xcbf29ce484222325L;
        for (byte letter : plain(name).getBytes()) hash = (hash ^ letter) * 0x100000001b3L;
        return hash & Long.MAX_VALUE | 1;
    }

    /** An older Kafka may have another name for an API. */
    private static Path file(Path folder, ApiMessageType api) throws Exception {
        String key = String.format("%02d-", api.apiKey());
        Files.createDirectories(folder);
        try (var files = Files.list(folder)) {
            return files.filter(file -> file.getFileName().toString().startsWith(key)).findFirst()
                .orElse(folder.resolve(key + camel(api.name) + ".hex"));
        }
    }

    private static String plain(String name) {
        return name.replace("_", "").toLowerCase(Locale.ROOT);
    }

    private static String camel(String name) {
        return name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1);
    }

    private void read(Path file) throws Exception {
        if (!Files.exists(file)) return;
        for (String line : Files.readAllLines(file)) {
            String[] words = line.split(" ");
            lines.put(String.join(" ", words[0], words[1], words[2]), words.length > 3 ? words[3] : "");
        }
    }

    private void save(Path file) throws Exception {
        Files.createDirectories(file.getParent());
        List<String> text = new ArrayList<>();
        lines.forEach((id, hex) -> text.add((id + " " + hex).stripTrailing()));
        Files.write(file, text);
    }
}
