package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// baselineLoads are those that the two gateways are compared by.
func baselineLoads(only, transport string, n int) (list []load) {
	for _, d := range []string{"x2s", "s2x"} {
		if only != "" && only != d {
			continue
		}
		list = append(list, load{direction: d, transport: transport, window: 32, total: n},
			load{direction: d, transport: transport, window: 256, total: n},
			load{direction: d, transport: transport, rate: 5000, total: min(n, 30_000)})
	}
	return list
}

// contender is one of the gateways that are compared.
type contender struct {
	name      string
	start     starter
	addresses addresses
}

// compare lists the contenders and runs them. What is not installed is left out, with the
// reason.
func compare(ctx context.Context, list []load, dir, binary, postgres, against string, rounds, children int) error {
	all := []contender{{"stoxgate", stoxgate(binary, postgres), plainAddresses}}
	for name := range strings.SplitSeq(against, ",") {
		if name != "kamailio" {
			all = append(all, contender{filepath.Base(name), stoxgate(name, postgres), plainAddresses})
			continue
		}
		k, err := newKamailio(ctx, dir, children)
		if errors.Is(err, errNoKamailio) {
			fmt.Fprintf(os.Stderr, "bench: left out: %v\n", err)
			continue
		}
		if err != nil {
			return err
		}
		all = append(all, contender{name, k.start, starAddresses})
	}
	if len(all) == 1 {
		return nil // said why
	}
	tell()
	return baseline(ctx, list, all, max(rounds, 1), dir)
}

// baseline runs each load through all contenders in turn, as often as rounds says, and
// prints the median and the range of each. Neighbours in time meet the same machine, and
// who begins changes with every round.
func baseline(ctx context.Context, list []load, all []contender, rounds int, dir string) error {
	fmt.Printf("Median of %d rounds that alternate, lowest–highest in brackets.\n\n", rounds)
	fmt.Printf("| load | gateway | msg/s | p50 | p99 | CPU/message | lost | twice | refused | RSS |\n|---|---|---|---|---|---|---|---|---|---|\n")
	lossy := false
	for _, l := range list {
		took := make([][]result, len(all))
		for round := range rounds {
			for turn := range all {
				i := (round + turn) % len(all)
				r, err := measure(ctx, l, all[i].start, all[i].addresses, dir, "")
				if err != nil {
					return fmt.Errorf("%s: %v: %w", all[i].name, l, err)
				}
				took[i] = append(took[i], r)
			}
		}
		for i, c := range all {
			fmt.Println(comparison(l, c.name, took[i]))
			for _, r := range took[i] {
				lossy = lossy || i == 0 && (r.lost > 0 || r.twice > 0)
			}
		}
	}
	if lossy {
		return errors.New("messages were lost or came twice")
	}
	return nil
}

// comparison is one row: the rounds of one gateway under one load.
func comparison(l load, name string, rounds []result) string {
	var lost, twice, refused int
	for _, r := range rounds {
		lost, twice, refused = lost+r.lost, twice+r.twice, refused+r.refused
	}
	number := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	return fmt.Sprintf("| %v | %s | %s | %s | %s | %s | %d | %d | %d | %s MB |", l, name,
		spread(rounds, result.perSecond, number),
		spread(rounds, func(r result) time.Duration { return r.p50 }, short),
		spread(rounds, func(r result) time.Duration { return r.p99 }, short),
		spread(rounds, result.perMessage, short), lost, twice, refused,
		spread(rounds, func(r result) float64 { return float64(r.rss) / 1e6 }, number))
}

// spread is the median of a figure and, when there are several, their range.
func spread[T cmp.Ordered](rounds []result, figure func(result) T, text func(T) string) string {
	list := make([]T, len(rounds))
	for i, r := range rounds {
		list[i] = figure(r)
	}
	slices.Sort(list)
	median := text(list[len(list)/2])
	if len(list) == 1 {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, text(list[0]), text(list[len(list)-1]))
}
