/* What the compiled halves of the benchmark share: SHA-1 and base64 for the handshake, non-blocking sockets, a clock. */
#ifndef WS_H
#define WS_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline uint32_t rol(uint32_t x, int n) { return x << n | x >> (32 - n); }

/* SHA-1 (RFC 3174) of at most 119 bytes. */
static inline void sha1(const char *text, size_t size, unsigned char out[20]) {
    unsigned char block[128] = {0};
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    size_t blocks = size + 9 > 64 ? 2 : 1;
    memcpy(block, text, size);
    block[size] = 0x80;
    for (int i = 0; i < 8; i++) block[blocks * 64 - 1 - i] = (unsigned char)((uint64_t)size * 8 >> (8 * i));
    for (size_t n = 0; n < blocks; n++) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++) {
            const unsigned char *p = block + n * 64 + i * 4;
            w[i] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++) w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
            else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
            else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
            else f = b ^ c ^ d, k = 0xCA62C1D6;
            uint32_t t = rol(a, 5) + f + e + k + w[i];
            e = d, d = c, c = rol(b, 30), b = a, a = t;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) out[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

static inline void accept_key(const char *key, size_t size, char out[29]) {
    static const char *digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[128];
    unsigned char hash[21] = {0};
    memcpy(text, key, size);
    memcpy(text + size, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    sha1(text, size + 36, hash);
    for (int i = 0, o = 0; i < 21; i += 3, o += 4) {
        uint32_t v = hash[i] << 16 | hash[i + 1] << 8 | hash[i + 2];
        for (int j = 0; j < 4; j++) out[o + j] = digits[v >> (18 - 6 * j) & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

static inline void many_files(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGPIPE, SIG_IGN);
}

static inline void quick(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

/* Reads frames out of a byte stream; only the first bytes of a payload are kept (unmasked). */
struct frames {
    unsigned char head[14], kept[128];
    int have;
    size_t kept_size;
    uint64_t left, seen;
    int in_payload;
};

/* Feeds one run of bytes; returns 1 when a frame has ended (opcode in *op), 0 when all was used. */
static inline int next_frame(struct frames *f, const unsigned char **data, size_t *size, int *op) {
    while (*size || f->in_payload) {
        if (!f->in_payload) {
            f->head[f->have++] = **data, (*data)++, (*size)--;
            if (f->have < 2) continue;
            int length = f->head[1] & 127, need = 2 + (length == 126 ? 2 : length == 127 ? 8 : 0);
            if (f->head[1] & 128) need += 4;
            if (f->have < need) continue;
            f->left = length;
            if (length >= 126) {
                f->left = 0;
                for (int i = 0; i < (length == 126 ? 2 : 8); i++) f->left = f->left << 8 | f->head[2 + i];
            }
            f->in_payload = 1, f->seen = 0, f->kept_size = 0;
        }
        size_t n = *size < f->left ? *size : f->left;
        for (size_t i = 0; i < n && f->kept_size < sizeof f->kept; i++) {
            unsigned char byte = (*data)[i];
            if (f->head[1] & 128) byte ^= f->head[f->have - 4 + ((f->seen + i) & 3)];
            f->kept[f->kept_size++] = byte;
        }
        *data += n, *size -= n, f->left -= n, f->seen += n;
        if (f->left) return 0;
        *op = f->head[0] & 15;
        f->in_payload = 0, f->have = 0;
        return 1;
    }
    return 0;
}
#endif
