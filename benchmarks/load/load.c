/* load PORT MODE CONNECTIONS AMOUNT PATH [HEADER]: a WebSocket client that never is the bottleneck; one line of JSON.

   echo:  each connection sends a frame of 3,200 bytes and waits for the result, for AMOUNT seconds
   paced: each connection sends one every 100 ms, whenever the results come, for AMOUNT seconds; the connections' phases
          are spread at random over the 100 ms, the same ones in every run; gap_p99_ms is of each connection's longest
          time without a result
   short: AMOUNT streams in all, CONNECTIONS at a time: handshake, one frame, its result, Close
   hold:  opens all, one frame each, says "open", and stays until standard input ends
   turns: as hold; for each line on standard input, a number of milliseconds, it does for so long what echo does, reads
          all results, and writes how many there were
   Latencies in milliseconds, from the write of a frame to the read of its result. A paced frame is written by an absolute
   schedule; how late the generator itself was is a separate value (late_p99_ms), and p99_due_ms is the sum of both. */
#include "ws.h"

enum { AUDIO = 3200, INTERVAL = 100000, WARM = 500000, FLIGHT = 256 };
enum state { CONNECTING, SHAKING, OPEN, CLOSING };

struct conn {
    int fd;
    enum state state;
    uint64_t due[FLIGHT], sent[FLIGHT], heard, gap;
    unsigned frames_sent, results_read;
    size_t have;
    char head[1024];
    struct frames frames;
    const unsigned char *out;
    size_t out_left;
};

static int poller, port, opened, failed;
static char request[2048];
static unsigned char audio[AUDIO + 8], goodbye[8] = {0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xE8 ^ 2};
static struct samples { uint32_t *values; size_t count, room; } latencies, lateness, from_due, gaps;
static const char *mode;
static uint64_t measure_from = UINT64_MAX, handshakes, turn_until, turn_results;
static long to_start, turn_flight;

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void note(struct samples *s, uint64_t value) {
    if (s->count == s->room) s->values = realloc(s->values, (s->room = s->room * 2 + 65536) * sizeof *s->values);
    s->values[s->count++] = value;
}

/* Sorts; a share of all samples is at most so many milliseconds. */
static double quantile(struct samples *s, double share) {
    if (!s->count) return 0;
    qsort(s->values, s->count, sizeof *s->values, compare);
    size_t at = s->count * share;
    return s->values[at < s->count ? at : s->count - 1] / 1e3;
}

static void start(struct conn *c) {
    struct sockaddr_in address = loopback(port);
    memset(c, 0, sizeof *c);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    quick(c->fd);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)) {
        perror("connect");
        exit(1);
    }
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
}

static void push(struct conn *c, const unsigned char *data, size_t size) {
    ssize_t n = write(c->fd, data, size);
    if (n < 0) n = 0;
    if ((size_t)n == size) return;
    c->out = data + n, c->out_left = size - n;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

static void send_frame(struct conn *c, uint64_t due) {
    if (c->out_left || c->frames_sent - c->results_read >= FLIGHT) {
        failed++; /* so far behind that nothing more can be said of its latency */
        return;
    }
    c->due[c->frames_sent % FLIGHT] = due;
    c->sent[c->frames_sent++ % FLIGHT] = now_us();
    push(c, audio, sizeof audio);
}

static void ended(struct conn *c) {
    if (c->state != CLOSING) failed++;
    close(c->fd);
    c->fd = -1;
    opened--;
    if (!strcmp(mode, "short") && to_start > 0) {
        to_start--;
        opened++;
        start(c);
    }
}

static void on_frame(struct conn *c, int op) {
    if (op == 8) {
        if (c->state == OPEN) failed++, push(c, goodbye, sizeof goodbye);
        c->state = CLOSING;
    } else if (op == 1 && c->frames_sent > c->results_read) {
        uint64_t now = now_us(), due = c->due[c->results_read % FLIGHT], sent = c->sent[c->results_read++ % FLIGHT];
        if (c->heard && now - c->heard > c->gap) c->gap = now - c->heard;
        if (now >= measure_from) c->heard = now;
        if (now >= measure_from && due >= measure_from)
            note(&latencies, now - sent), note(&lateness, sent - due), note(&from_due, now - due);
        if (!strcmp(mode, "echo")) send_frame(c, now);
        if (turn_flight) {
            turn_results++;
            if (now < turn_until) send_frame(c, now);
            else if (!--turn_flight) printf("%lu\n", turn_results), fflush(stdout);
        }
        if (!strcmp(mode, "short")) c->state = CLOSING, push(c, goodbye, sizeof goodbye);
    }
}

/* A line of standard input has come: every connection begins. Returns 0 if there will be none any more. */
static int begin_turn(struct conn *conns, int count) {
    char line[16];
    ssize_t got = read(0, line, sizeof line - 1);
    if (got <= 0) return 0;
    line[got] = 0;
    turn_results = 0, turn_flight = count;
    turn_until = now_us() + atol(line) * 1000;
    for (int i = 0; i < count; i++) send_frame(&conns[i], now_us());
    return 1;
}

static void on_event(struct conn *c, unsigned events) {
    static unsigned char buffer[1 << 16];
    if (c->fd < 0) return;
    if (c->state == CONNECTING && events & EPOLLOUT) {
        c->state = SHAKING;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
        if (write(c->fd, request, strlen(request)) < 0) return ended(c);
    } else if (events & EPOLLOUT && c->out_left) {
        size_t left = c->out_left;
        c->out_left = 0;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
        push(c, c->out, left);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    ssize_t got = read(c->fd, buffer, sizeof buffer);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) ended(c);
        return;
    }
    const unsigned char *data = buffer;
    size_t size = got;
    if (c->state == SHAKING) {
        size_t before = c->have, n = size < sizeof c->head - c->have ? size : sizeof c->head - c->have;
        memcpy(c->head + c->have, data, n);
        c->have += n;
        char *end = memmem(c->head, c->have, "\r\n\r\n", 4);
        if (!end) return;
        if (memcmp(c->head, "HTTP/1.1 101", 12)) {
            fprintf(stderr, "%.*s\n", (int)c->have, c->head);
            return ended(c);
        }
        size_t used = end + 4 - c->head - before;
        data += used, size -= used;
        c->state = OPEN;
        handshakes++;
        if (strcmp(mode, "paced")) send_frame(c, now_us());
    }
    int op;
    while (next_frame(&c->frames, &data, &size, &op)) on_frame(c, op);
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    many_files();
    port = atoi(argv[1]), mode = argv[2];
    int count = atoi(argv[3]);
    long amount = atol(argv[4]);
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nSec-WebSocket-Version: 13\r\n%s%s\r\n",
             argv[5], port, argc > 6 ? argv[6] : "", argc > 6 ? "\r\n" : "");
    static const unsigned char head[8] = {0x82, 0x80 | 126, AUDIO >> 8, AUDIO & 255, 1, 2, 3, 4};
    memcpy(audio, head, 8);
    for (int i = 0; i < AUDIO; i++) audio[8 + i] = head[4 + (i & 3)];
    poller = epoll_create1(0);
    struct conn *conns = calloc(count, sizeof *conns);
    struct epoll_event events[256];
    uint32_t *phases = calloc(count, sizeof *phases), seed = 20261123;
    for (int i = 0; i < count; i++) { /* xorshift32 */
        seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
        phases[i] = seed % INTERVAL;
    }
    qsort(phases, count, sizeof *phases, compare);
    int is_short = !strcmp(mode, "short"), is_paced = !strcmp(mode, "paced"), is_turns = !strcmp(mode, "turns");
    int is_hold = is_turns || !strcmp(mode, "hold");
    to_start = is_short ? amount - count : 0;
    uint64_t began = now_us(), until = UINT64_MAX, round = 0, next = 0;
    int launched = 0, said = 0, turn = 0;
    if (is_short) measure_from = 0;
    for (;;) {
        /* at most so many handshakes at once, or the listening queue decides the outcome */
        while (launched < count && launched - (int)handshakes - failed < 64) start(&conns[launched++]), opened++;
        uint64_t now = now_us();
        int all = (int)handshakes == count && launched == count;
        if (is_hold && all && !said) {
            said = 1;
            for (int i = 0; i < count; i++) all &= conns[i].results_read > 0;
            if (!all) said = 0;
            else puts("open"), fflush(stdout);
        }
        if (is_hold && said) {
            struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
            if (said == 1) epoll_ctl(poller, EPOLL_CTL_ADD, 0, &e), said = 2;
        }
        if (!is_short && !is_hold && all && until == UINT64_MAX)
            measure_from = now + WARM, until = measure_from + amount * 1000000, round = now, next = round + phases[0];
        if (now >= until || (is_short && !opened) || failed > (is_short || all ? 1000 : 0)) break;
        uint64_t wait = 100000;
        if (is_paced && until != UINT64_MAX) {
            while (next <= now) {
                if (conns[turn].fd >= 0) send_frame(&conns[turn], next);
                if (++turn == count) turn = 0, round += INTERVAL;
                next = round + phases[turn];
            }
            now = now_us();
            wait = next > now ? next - now : 0;
        }
        /* to the microsecond: whoever spins here takes the core from the upstream, which runs on it too */
        struct timespec pause = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        struct pollfd ready = {.fd = poller, .events = POLLIN};
        ppoll(&ready, 1, &pause, NULL);
        int n = epoll_wait(poller, events, 256, 0);
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr) {
                if (!is_turns || !begin_turn(conns, count)) return 0;
                continue;
            }
            on_event(events[i].data.ptr, events[i].events);
        }
    }
    for (int i = 0; i < count; i++) { /* one that heard nothing any more has that as its gap */
        uint64_t last = conns[i].heard ? now_us() - conns[i].heard : 0;
        if (is_paced) note(&gaps, last > conns[i].gap ? last : conns[i].gap);
    }
    double seconds = (now_us() - (is_short ? began : measure_from)) / 1e6;
    printf("{\"messages_per_s\": %.1f, \"handshakes_per_s\": %.1f, \"failed\": %d, ", latencies.count / seconds,
           handshakes / seconds, failed);
    printf("\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f, ", quantile(&latencies, .5),
           quantile(&latencies, .99), quantile(&latencies, .999), quantile(&latencies, 1));
    printf("\"late_p99_ms\": %.3f, \"p99_due_ms\": %.3f, ", quantile(&lateness, .99), quantile(&from_due, .99));
    printf("\"gap_p50_ms\": %.3f, \"gap_p99_ms\": %.3f}\n", quantile(&gaps, .5), quantile(&gaps, .99));
    return failed > 0;
}
