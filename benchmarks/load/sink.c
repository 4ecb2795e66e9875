/* sink PORT: an STT server's wire for recorded audio, without speech. A request's whole body (Content-Length) is read and
   discarded; the response is a result of about 2 KB. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 8192

struct conn {
    int fd;
    size_t have;  /* bytes of an incomplete head */
    size_t left;  /* bytes of the body still to come */
    char head[HEAD_MAX + 1];
};

static char buffer[1 << 20];
static char response[4096];
static size_t response_size;

static void compose(void) {
    char body[3072];
    int n = snprintf(body, sizeof body,
                     "{\"metadata\":{\"transaction_key\":\"deprecated\",\"request_id\":\"0\",\"sha256\":\"0\",\"duration\":2.048,"
                     "\"channels\":1,\"models\":[\"m\"]},\"results\":{\"channels\":[{\"alternatives\":[{\"transcript\":\"words\","
                     "\"confidence\":0.99,\"words\":[");
    for (int i = 0; i < 24; i++)
        n += snprintf(body + n, sizeof body - n, "%s{\"word\":\"word\",\"start\":%.2f,\"end\":%.2f,\"confidence\":0.98765}",
                      i ? "," : "", i * 0.08, i * 0.08 + 0.07);
    n += snprintf(body + n, sizeof body - n, "]}]}]}}");
    response_size = snprintf(response, sizeof response,
                           "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n, body);
}

/* The request's body has come; a response of this size always fits into the socket's buffer. */
static int reply(struct conn *c) { return write(c->fd, response, response_size) == (ssize_t)response_size; }

/* Take what was read; 0: the connection is of no use any more. */
static int take(struct conn *c, const char *data, size_t size) {
    while (size) {
        if (c->left) {
            size_t n = size < c->left ? size : c->left;
            data += n, size -= n;
            if (!(c->left -= n) && !reply(c)) return 0;
            continue;
        }
        size_t room = HEAD_MAX - c->have, n = size < room ? size : room;
        memcpy(c->head + c->have, data, n);
        c->head[c->have + n] = 0;
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end) {
            c->have += n;
            if (c->have == HEAD_MAX) return 0;
            return 1;
        }
        size_t used = end + 4 - c->head - c->have;
        data += used, size -= used;
        *end = 0;
        char *length = strcasestr(c->head, "\r\nContent-Length:");
        c->left = length ? strtoull(length + 17, NULL, 10) : 0;
        c->have = 0;
        if (!c->left && !reply(c)) return 0;
    }
    return 1;
}

int main(int argc, char **argv) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poller = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN}, ready[256];
    if (argc != 2) return 2;
    where.sin_port = htons(atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&where, sizeof where) || listen(listener, 4096)) return perror("sink"), 1;
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    compose();
    for (;;) {
        int count = epoll_wait(poller, ready, 256, -1);
        for (int i = 0; i < count; i++) {
            struct conn *c = ready[i].data.ptr;
            if (!c) {
                int fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    c = calloc(1, sizeof *c);
                    c->fd = fd;
                    e.data.ptr = c;
                    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
                }
                continue;
            }
            ssize_t n = read(c->fd, buffer, sizeof buffer);
            if (n < 0 && errno == EAGAIN) continue;
            if (n <= 0 || !take(c, buffer, n)) {
                close(c->fd);
                free(c);
            }
        }
    }
}
