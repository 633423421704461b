// The transactions of tests/clients/README.md, by franz-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions = 2
	inputs     = 40
)

var (
	run           = fmt.Sprintf("%x-%d", time.Now().UnixMilli(), os.Getpid())
	in, out       = "franz-in-" + run, "franz-out-" + run
	group, id     = "franz-group-" + run, "franz-id-" + run
	seeds         = kgo.SeedBrokers(os.Getenv("BOOTSTRAP"))
	committed     []string
	byHand        = kgo.RecordPartitioner(kgo.ManualPartitioner())
	quick         = kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })
	transactional = kgo.TransactionalID(id)
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Second)
	defer cancel()
	admin := kadm.NewClient(value(kgo.NewClient(seeds)))
	defer admin.Close()
	must(value(admin.CreateTopic(ctx, 1, 1, nil, in)).Err)
	must(value(admin.CreateTopic(ctx, partitions, 1, nil, out)).Err)
	live(ctx, admin)
	must(value(admin.DeleteTopics(ctx, in, out)).Error())
	fmt.Printf("%d records committed\n", len(committed))
}

func live(ctx context.Context, admin *kadm.Client) {
	first := value(kgo.NewClient(seeds, transactional, byHand, quick))

	// All of a commit is seen.
	must(first.BeginTransaction())
	must(send(ctx, first, "first"))
	must(first.EndTransaction(ctx, kgo.TryCommit))
	commit("first")
	sees(ctx, admin, "a commit")

	// An open transaction is not, nor what comes behind it.
	must(first.BeginTransaction())
	must(send(ctx, first, "aborted"))
	plain := value(kgo.NewClient(seeds, byHand))
	for partition := range int32(partitions) {
		must(plain.ProduceSync(ctx, &kgo.Record{Topic: out, Partition: partition, Value: []byte("plain")}).FirstErr())
	}
	sees(ctx, admin, "before the transaction that is open")

	// Nothing of an abort is seen, but by those who read everything.
	must(first.EndTransaction(ctx, kgo.TryAbort))
	committed = append(committed, "plain", "plain")
	sees(ctx, admin, "after an abort")
	aborted := 0
	for _, found := range read(ctx, admin, false) {
		if strings.HasPrefix(found, "aborted") {
			aborted++
		}
	}
	check(aborted == 10, "%d aborted records are there", aborted)

	// A new producer of the same id fences the old one, and ends what it had open.
	must(first.BeginTransaction())
	must(send(ctx, first, "zombie"))
	second := value(kgo.NewClient(seeds, transactional, byHand, quick))
	must(second.BeginTransaction())
	must(send(ctx, second, "second"))
	err := send(ctx, first, "zombie")
	if err == nil {
		err = first.EndTransaction(ctx, kgo.TryCommit)
	}
	check(errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced), "a zombie committed: %v", err)
	must(second.EndTransaction(ctx, kgo.TryCommit))
	commit("second")
	sees(ctx, admin, "a zombie was fenced")
	second.Close()

	// From topic to topic, exactly once: every third batch is aborted and read again.
	for at := range inputs {
		record := &kgo.Record{Topic: in, Value: fmt.Appendf(nil, "in-%d", at)}
		must(plain.ProduceSync(ctx, record).FirstErr())
	}
	transform(ctx)
	for at := range inputs {
		committed = append(committed, fmt.Sprintf("out of in-%d", at))
	}
	sees(ctx, admin, "what was transformed")
	offsets := value(admin.FetchOffsets(ctx, group))
	known, _ := offsets.Lookup(in, 0)
	check(known.At == inputs, "committed %+v", known)
}

func transform(ctx context.Context) {
	session := value(kgo.NewGroupTransactSession(seeds, transactional, byHand, quick, kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(in), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RequireStableFetchOffsets(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond)))
	defer session.Close()
	for batch, done := 0, 0; done < inputs; {
		fetches := session.PollRecords(ctx, 4)
		for _, err := range fetches.Errors() {
			must(err.Err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		must(session.Begin())
		batch++
		wanted := kgo.TransactionEndTry(batch%3 != 0)
		fetches.EachRecord(func(record *kgo.Record) {
			made := &kgo.Record{Topic: out, Partition: int32(record.Offset % partitions), Value: []byte("out of " + string(record.Value))}
			session.Produce(ctx, made, func(_ *kgo.Record, err error) {
				// What is not sent yet when the transaction is aborted never will be.
				check(err == nil || !bool(wanted), "%v", err)
			})
		})
		ended := value(session.End(ctx, wanted))
		check(ended == bool(wanted), "batch %d ended %v", batch, ended)
		if ended {
			done += fetches.NumRecords()
		}
	}
}

func ten(what string) []string {
	var values []string
	for at := range 10 {
		values = append(values, fmt.Sprintf("%s-%d", what, at))
	}
	return values
}

func send(ctx context.Context, to *kgo.Client, what string) error {
	var records []*kgo.Record
	for at, value := range ten(what) {
		records = append(records, &kgo.Record{Topic: out, Partition: int32(at % partitions), Value: []byte(value)})
	}
	return to.ProduceSync(ctx, records...).FirstErr()
}

func commit(what string) { committed = append(committed, ten(what)...) }

// Who reads what is committed finds exactly that.
func sees(ctx context.Context, admin *kadm.Client, when string) {
	expected := slices.Sorted(slices.Values(committed))
	var found []string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if found = read(ctx, admin, true); len(found) >= len(expected) {
			break
		}
	}
	check(slices.Equal(found, expected), "%s: %v and not %v", when, found, expected)
}

func read(ctx context.Context, admin *kadm.Client, onlyCommitted bool) []string {
	var ends kadm.ListedOffsets
	isolation := kgo.ReadUncommitted()
	if onlyCommitted {
		ends, isolation = value(admin.ListCommittedOffsets(ctx, out)), kgo.ReadCommitted()
	} else {
		ends = value(admin.ListEndOffsets(ctx, out))
	}
	starts := map[string]map[int32]kgo.Offset{out: {}}
	for partition := range int32(partitions) {
		starts[out][partition] = kgo.NewOffset().At(0)
	}
	client := value(kgo.NewClient(seeds, kgo.ConsumePartitions(starts), kgo.FetchIsolationLevel(isolation),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(50*time.Millisecond)))
	defer client.Close()
	var found []string
	left := map[int32]bool{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			left[end.Partition] = true
		}
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		must(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			if !record.Attrs.IsControl() {
				found = append(found, string(record.Value))
			}
			// The last record that can be read is a marker, or one of no transaction.
			if end, _ := ends.Lookup(out, record.Partition); record.Offset == end.Offset-1 {
				delete(left, record.Partition)
			}
		})
	}
	slices.Sort(found)
	return found
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
