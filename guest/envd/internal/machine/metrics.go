// Package machine measures the sandbox from the inside, for GET /metrics.
package machine

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Metrics is the answer of GET /metrics; bytes, and percent of all CPUs together.
type Metrics struct {
	Timestamp  int64   `json:"ts"`
	CPUCount   int     `json:"cpu_count"`
	CPUUsedPct float64 `json:"cpu_used_pct"`
	MemTotal   uint64  `json:"mem_total"`
	MemUsed    uint64  `json:"mem_used"`
	MemCache   uint64  `json:"mem_cache"`
	MemTotalMi uint64  `json:"mem_total_mib"`
	MemUsedMi  uint64  `json:"mem_used_mib"`
	DiskUsed   uint64  `json:"disk_used"`
	DiskTotal  uint64  `json:"disk_total"`
}

// Meter keeps the CPU time of the last request: usage is measured between two requests, without a timer.
type Meter struct {
	mu     sync.Mutex
	asked  time.Time
	cpu    time.Duration
	lastly float64
}

// Requests within this time share one measurement of CPU usage.
const shortestSpan = 100 * time.Millisecond

func NewMeter() *Meter { return &Meter{asked: time.Now(), cpu: cpuTime()} }

func (m *Meter) Serve(w http.ResponseWriter, _ *http.Request) {
	metrics, err := m.measure()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(metrics)
}

func (m *Meter) measure() (Metrics, error) {
	memory, err := os.ReadFile("/proc/meminfo")
	var disk unix.Statfs_t
	if err := errors.Join(err, unix.Statfs("/", &disk)); err != nil {
		return Metrics{}, err
	}
	kib := parseMeminfo(string(memory))
	total, cache := kib["MemTotal"]<<10, (kib["Cached"]+kib["Buffers"]+kib["SReclaimable"])<<10
	used := total - min(total, kib["MemFree"]<<10+cache)
	return Metrics{
		Timestamp:  time.Now().Unix(),
		CPUCount:   runtime.NumCPU(),
		CPUUsedPct: m.cpuUsed(time.Now()),
		MemTotal:   total, MemUsed: used, MemCache: cache,
		MemTotalMi: total >> 20, MemUsedMi: used >> 20,
		DiskUsed:  (disk.Blocks - disk.Bfree) * uint64(disk.Bsize),
		DiskTotal: disk.Blocks * uint64(disk.Bsize),
	}, nil
}

func (m *Meter) cpuUsed(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	span := now.Sub(m.asked)
	if span < shortestSpan {
		return m.lastly
	}
	cpu := cpuTime()
	pct := 100 * float64(cpu-m.cpu) / float64(span) / float64(runtime.NumCPU())
	m.asked, m.cpu, m.lastly = now, cpu, min(max(pct, 0), 100)
	return m.lastly
}

func parseMeminfo(text string) map[string]uint64 {
	values := map[string]uint64{}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		if field := strings.Fields(rest); len(field) > 0 {
			values[name], _ = strconv.ParseUint(field[0], 10, 64)
		}
	}
	return values
}

// One tick of /proc is 1/100 s on Linux (USER_HZ).
const tick = 10 * time.Millisecond

// cpuTime sums the CPU time of all processes. gVisor's /proc/stat is zero, so the processes are then read one by one.
func cpuTime() time.Duration {
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		if used := usedTicks(string(stat)); used > 0 {
			return time.Duration(used) * tick
		}
	}
	var ticks uint64
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		if stat, err := os.ReadFile(path); err == nil {
			ticks += processTicks(string(stat))
		}
	}
	return time.Duration(ticks) * tick
}

// usedTicks adds user, nice, system, irq, softirq and steal of the `cpu` line: all but idle and iowait.
func usedTicks(stat string) (used uint64) {
	line, _, _ := strings.Cut(stat, "\n")
	for i, text := range strings.Fields(line) {
		if value, err := strconv.ParseUint(text, 10, 64); err == nil && i <= 8 && i != 4 && i != 5 {
			used += value
		}
	}
	return used
}

// processTicks adds utime and stime, fields 14 and 15 of proc_pid_stat(5); the name before may hold blanks.
func processTicks(stat string) uint64 {
	field := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(field) < 13 {
		return 0
	}
	user, _ := strconv.ParseUint(field[11], 10, 64)
	system, _ := strconv.ParseUint(field[12], 10, 64)
	return user + system
}
