// The life of tests/clients/README.md, lived by franz-go.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type place struct {
	partition int32
	offset    int64
}

var (
	keys struct {
		Partitions int32            `json:"partitions"`
		Of         map[string]int32 `json:"of"`
	}
	names  []string
	run    = fmt.Sprintf("%x-%d", time.Now().UnixMilli(), os.Getpid())
	topic  = "franz-" + run
	group  = "franz-group-" + run
	seeds  = kgo.SeedBrokers(os.Getenv("BOOTSTRAP"))
	acked  = map[place]*kgo.Record{}
	seen   = map[place]string{}
	ends   = map[int32]int64{}
	codecs = []struct {
		name  string
		codec kgo.CompressionCodec
	}{
		{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()},
	}
)

const perCodec = 50

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Second)
	defer cancel()
	must(json.Unmarshal(value(os.ReadFile(os.Getenv("KEYS"))), &keys))
	for name := range keys.Of {
		names = append(names, name)
	}
	slices.Sort(names)
	admin := kadm.NewClient(value(kgo.NewClient(seeds)))
	defer admin.Close()
	must(value(admin.CreateTopic(ctx, keys.Partitions, 1, nil, topic)).Err)
	live(ctx, admin)
	must(value(admin.DeleteTopics(ctx, topic)).Error())
	fmt.Printf("%d records, none gzip snappy lz4 zstd\n", len(acked))
}

func live(ctx context.Context, admin *kadm.Client) {
	// Alone.
	produce(ctx, "alone")
	first := join("first")
	until("the first member reads everything", all, first)
	first.commit(ctx)

	// A second member joins: each has half.
	second := join("second")
	until("two members share the partitions", func() bool {
		return len(first.assigned()) == int(keys.Partitions)/2 && len(second.assigned()) == int(keys.Partitions)/2
	}, first, second)
	for _, partition := range first.assigned() {
		check(!slices.Contains(second.assigned(), partition), "two members have partition %d", partition)
	}
	produce(ctx, "together")
	until("two members read everything", all, first, second)
	for at, record := range acked {
		if !strings.HasPrefix(string(record.Headers[0].Value), "together") {
			continue
		}
		owner := second.name
		if slices.Contains(first.assigned(), at.partition) {
			owner = first.name
		}
		check(seen[at] == owner, "%v was read by %s", at, seen[at])
	}
	first.commit(ctx)
	second.commit(ctx)

	// It leaves again: everything is the first one's.
	second.client.Close()
	until("one member has every partition", func() bool { return len(first.assigned()) == int(keys.Partitions) }, first)
	produce(ctx, "alone again")
	until("the first member reads everything again", all, first)
	first.commit(ctx)
	first.client.Close()

	// What was committed is there, and a member that comes back goes on after it.
	committed := value(admin.FetchOffsets(ctx, group))
	committed.Each(func(offset kadm.OffsetResponse) {
		must(offset.Err)
		check(offset.At == ends[offset.Partition] && offset.Metadata == "by first", "committed %+v", offset)
	})
	check(len(committed.Offsets()[topic]) == int(keys.Partitions), "committed %+v", committed)
	produce(ctx, "back")
	back := join("back")
	until("the member that came back reads what is new", all, back)
	back.client.Close()

	value(admin.ListEndOffsets(ctx, topic)).Each(func(end kadm.ListedOffset) {
		must(end.Err)
		check(end.Offset == ends[end.Partition], "ends at %+v", end)
	})
	described := value(admin.DescribeGroups(ctx, group))[group]
	check(described.State == "Empty", "the group is %s", described.State)
}

func produce(ctx context.Context, phase string) {
	for _, codec := range codecs {
		client := value(kgo.NewClient(seeds, kgo.ProducerBatchCompression(codec.codec), kgo.DefaultProduceTopic(topic),
			// The partition of a key as Apache Kafka's client computes it.
			kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil))))
		var records []*kgo.Record
		for index := range perCodec {
			id := fmt.Sprintf("%s/%s/%d", phase, codec.name, index)
			record := &kgo.Record{
				Key: []byte(names[index%len(names)]),
				Headers: []kgo.RecordHeader{
					{Key: "id", Value: []byte(id)}, {Key: "bytes", Value: []byte{0, 255, byte(index)}},
					{Key: "null"}, {Key: "twice", Value: []byte{1}}, {Key: "twice", Value: []byte{2}},
				},
			}
			if index%10 != 9 {
				record.Value = []byte(id + ":" + strings.Repeat("kafka ", 40))
			}
			records = append(records, record)
		}
		for _, result := range client.ProduceSync(ctx, records...) {
			must(result.Err)
			record := result.Record
			check(record.Partition == keys.Of[string(record.Key)], "%s went to partition %d", record.Key, record.Partition)
			check(record.Offset == ends[record.Partition], "acknowledged at %d", record.Offset)
			acked[place{record.Partition, record.Offset}] = record
			ends[record.Partition]++
		}
		client.Close()
	}
}

type member struct {
	name   string
	client *kgo.Client
	owned  map[int32]bool
	lock   sync.Mutex
}

func join(name string) *member {
	m := &member{name: name, owned: map[int32]bool{}}
	change := func(has bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			m.lock.Lock()
			defer m.lock.Unlock()
			for _, partition := range partitions[topic] {
				m.owned[partition] = has
			}
		}
	}
	m.client = value(kgo.NewClient(seeds, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false))))
	return m
}

func (m *member) assigned() []int32 {
	m.lock.Lock()
	defer m.lock.Unlock()
	var partitions []int32
	for partition, has := range m.owned {
		if has {
			partitions = append(partitions, partition)
		}
	}
	return partitions
}

func (m *member) poll() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	fetches := m.client.PollFetches(ctx)
	for _, err := range fetches.Errors() {
		check(err.Err == context.DeadlineExceeded, "%v", err.Err)
	}
	fetches.EachRecord(func(got *kgo.Record) {
		at := place{got.Partition, got.Offset}
		sent, other := acked[at], seen[at]
		check(sent != nil, "%v was never acknowledged", at)
		check(other == "", "%v was seen by %s and again by %s", at, other, m.name)
		check(bytes.Equal(got.Key, sent.Key) && bytes.Equal(got.Value, sent.Value), "%v differs", at)
		check((got.Value == nil) == (sent.Value == nil), "%v is null or not", at)
		check(got.Timestamp.UnixMilli() == sent.Timestamp.UnixMilli(), "%v has timestamp %v", at, got.Timestamp)
		check(slices.EqualFunc(got.Headers, sent.Headers, func(a, b kgo.RecordHeader) bool {
			return a.Key == b.Key && bytes.Equal(a.Value, b.Value) && (a.Value == nil) == (b.Value == nil)
		}), "%v has headers %v", at, got.Headers)
		seen[at] = m.name
	})
}

func (m *member) commit(ctx context.Context) {
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group = group
	commit.MemberID, commit.Generation = m.client.GroupMetadata()
	commitTopic := kmsg.NewOffsetCommitRequestTopic()
	commitTopic.Topic = topic
	commitTopic.TopicID = value(m.client.Request(ctx, metadata())).(*kmsg.MetadataResponse).Topics[0].TopicID
	for _, partition := range m.assigned() {
		commitPartition := kmsg.NewOffsetCommitRequestTopicPartition()
		commitPartition.Partition, commitPartition.Offset = partition, ends[partition]
		commitPartition.Metadata = kmsg.StringPtr("by " + m.name)
		commitTopic.Partitions = append(commitTopic.Partitions, commitPartition)
	}
	commit.Topics = append(commit.Topics, commitTopic)
	response := value(m.client.Request(ctx, commit)).(*kmsg.OffsetCommitResponse)
	for _, partition := range response.Topics[0].Partitions {
		must(kerr.ErrorForCode(partition.ErrorCode))
	}
}

func metadata() *kmsg.MetadataRequest {
	request := kmsg.NewPtrMetadataRequest()
	requestTopic := kmsg.NewMetadataRequestTopic()
	requestTopic.Topic = kmsg.StringPtr(topic)
	request.Topics = append(request.Topics, requestTopic)
	return request
}

func all() bool { return len(seen) == len(acked) }

func until(what string, condition func() bool, members ...*member) {
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		check(time.Now().Before(deadline), "timed out: %s: %d of %d", what, len(seen), len(acked))
		for _, member := range members {
			member.poll()
		}
	}
}

func check(good bool, format string, args ...any) {
	if !good {
		panic(fmt.Sprintf(format, args...))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func value[T any](got T, err error) T {
	must(err)
	return got
}
