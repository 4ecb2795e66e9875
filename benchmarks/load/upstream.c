/* upstream PORT: the messages of an STT server without recognition. Each binary frame gets a Results of 300 bytes. */
#include "ws.h"

struct conn {
    int fd, open, done;
    size_t have, out_size, out_room;
    double audio;
    struct frames frames;
    char *out;
    char head[4096];
};

static int poller;

static void drop(struct conn *c) {
    close(c->fd);
    free(c->out);
    free(c);
}

static void flush(struct conn *c) {
    size_t sent = 0;
    while (sent < c->out_size) {
        ssize_t n = write(c->fd, c->out + sent, c->out_size - sent);
        if (n < 0) break;
        sent += n;
    }
    memmove(c->out, c->out + sent, c->out_size -= sent);
    struct epoll_event e = {.events = EPOLLIN | (c->out_size ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

static void put(struct conn *c, const void *data, size_t size) {
    if (!c->out_size) { /* the usual case: all of it goes at once */
        ssize_t n = write(c->fd, data, size);
        if (n == (ssize_t)size) return;
        if (n > 0) data = (const char *)data + n, size -= n;
    }
    if (c->out_size + size > c->out_room) c->out = realloc(c->out, c->out_room = (c->out_size + size) * 2);
    memcpy(c->out + c->out_size, data, size);
    c->out_size += size;
    flush(c);
}

static void put_frame(struct conn *c, int op, const void *data, size_t size) {
    unsigned char buffer[1024];
    int head = size < 126 ? 2 : 4;
    buffer[0] = 0x80 | op;
    buffer[1] = size < 126 ? size : 126;
    if (head == 4) buffer[2] = size >> 8, buffer[3] = size & 255;
    memcpy(buffer + head, data, size);
    put(c, buffer, head + size);
}

static void on_frame(struct conn *c, int op) {
    char text[301];
    if (op == 2) {
        int n = snprintf(text, sizeof text,
                         "{\"type\":\"Results\",\"channel_index\":[0,1],\"duration\":0.1,\"start\":%.3f,\"is_final\":true,"
                         "\"speech_final\":false,\"channel\":{\"alternatives\":[{\"transcript\":\"",
                         c->audio);
        c->audio += 0.1;
        static const char end[] = "\",\"confidence\":0.9,\"words\":[]}]}}";
        memset(text + n, 'a', 300 - n);
        memcpy(text + 300 - (sizeof end - 1), end, sizeof end - 1);
        put_frame(c, 1, text, 300);
    } else if (op == 1 && memmem(c->frames.kept, c->frames.kept_size, "CloseStream", 11)) {
        int n = snprintf(text, sizeof text, "{\"type\":\"Metadata\",\"duration\":%.3f,\"channels\":1}", c->audio);
        put_frame(c, 1, text, n);
        put_frame(c, 8, "\x03\xe8", 2);
    } else if (op == 8) {
        put_frame(c, 8, c->frames.kept, c->frames.kept_size);
        c->done = 1;
    } else if (op == 9) {
        put_frame(c, 10, c->frames.kept, c->frames.kept_size);
    }
}

/* Returns the bytes of the head that are used up, 0 if more are needed, -1 to close. */
static int on_head(struct conn *c) {
    char *end = memmem(c->head, c->have, "\r\n\r\n", 4), response[512], accept[29];
    if (!end) return c->have == sizeof c->head ? -1 : 0;
    *end = 0;
    char *key = strcasestr(c->head, "\r\nSec-WebSocket-Key:");
    if (!key) {
        put(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 40);
        return end + 4 - c->head;
    }
    key += 20;
    while (*key == ' ') key++;
    accept_key(key, strcspn(key, "\r "), accept);
    int n = snprintf(response, sizeof response,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    put(c, response, n);
    c->open = 1;
    return end + 4 - c->head;
}

static void on_data(struct conn *c, const unsigned char *data, size_t size) {
    int op;
    while (!c->open && size) {
        size_t n = sizeof c->head - c->have < size ? sizeof c->head - c->have : size;
        size_t before = c->have;
        memcpy(c->head + c->have, data, n);
        c->have += n;
        int used = on_head(c);
        if (used < 0) {
            c->done = 1;
            return;
        }
        if (!used) return;
        data += used - before, size -= used - before;
        c->have = 0;
    }
    while (next_frame(&c->frames, &data, &size, &op) && !c->done) on_frame(c, op);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    many_files();
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = loopback(atoi(argv[1]));
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4096)) return perror("listen"), 1;
    poller = epoll_create1(0);
    struct epoll_event events[256], e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listening, &e);
    static unsigned char buffer[1 << 16];
    for (;;) {
        int n = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) {
                int fd;
                while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    c = calloc(1, sizeof *c);
                    c->fd = fd;
                    quick(fd);
                    e = (struct epoll_event){.events = EPOLLIN, .data.ptr = c};
                    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
                }
                continue;
            }
            if (events[i].events & EPOLLOUT) flush(c);
            ssize_t got = read(c->fd, buffer, sizeof buffer);
            if (got > 0) on_data(c, buffer, got);
            if (c->done || got == 0 || (got < 0 && errno != EAGAIN)) drop(c);
        }
    }
}
