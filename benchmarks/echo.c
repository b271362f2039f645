/* The two ends of an echo without a runtime: what is the least that a server costs, and who talks to it.
 *
 *     echo server tcp|udp
 *         echoes on a port of 127.0.0.1, and prints it
 *     echo server http
 *         the same, but answers each request of HTTP/1.1 in 13 bytes; a request is taken to come in one piece
 *     echo client tcp|udp PORT CONNECTIONS SIZE
 *         connects, and for each number of seconds that comes on stdin sends SIZE bytes on each connection, and again
 *         once they are back; when the time is over and the last are back it prints how many echoes came, and their
 *         median and 99th percentile in microseconds
 *
 * One thread, epoll, one recv and one send for a message that fits. The server is the floor that Python's are held to:
 * whatever reads and writes by these system calls takes their time at least.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 18, EVENTS = 512, SAMPLES = 1 << 20, PATIENCE = 10000 /* ms */ };

struct connection {
    int fd;
    size_t sent, received; /* client: of the message that is on its way */
    size_t kept;           /* server: bytes that the kernel had no room for yet */
    double began;
    char *data;
};

static char buffer[BUFFER];
static double samples[SAMPLES];

static void check(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void watch(int epoll, int operation, struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    check(epoll_ctl(epoll, operation, connection->fd, &event) == 0, "epoll_ctl");
}

static void no_delay(int fd)
{
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

/* Send what is kept and then size bytes of data; keep what does not go. */
static void pass_on(int epoll, struct connection *connection, const char *data, size_t size)
{
    ssize_t sent = send(connection->fd, data, size, MSG_NOSIGNAL);
    if (sent < 0)
        sent = 0;
    if ((size_t)sent == size)
        return;
    connection->kept = size - sent;
    connection->data = realloc(connection->data, BUFFER);
    memcpy(connection->data, data + sent, connection->kept);
    watch(epoll, EPOLL_CTL_MOD, connection, EPOLLOUT); /* and read no more until it has gone */
}

/* A socket of 127.0.0.1, whose port is printed. */
static int bound(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

    check(bind(fd, (struct sockaddr *)&address, length) == 0, "bind");
    if (type == SOCK_STREAM)
        check(listen(fd, 1024) == 0, "listen");
    check(getsockname(fd, (struct sockaddr *)&address, &length) == 0, "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void serve_datagrams(void)
{
    struct connection mine = {.fd = bound(SOCK_DGRAM)};
    struct epoll_event event;
    struct sockaddr_in from;
    int epoll = epoll_create1(0);

    watch(epoll, EPOLL_CTL_ADD, &mine, EPOLLIN);
    for (;;) {
        epoll_wait(epoll, &event, 1, -1);
        for (int i = 0; i < 16; i++) {
            socklen_t length = sizeof from;
            ssize_t size = recvfrom(mine.fd, buffer, BUFFER, 0, (struct sockaddr *)&from, &length);
            if (size < 0)
                break;
            sendto(mine.fd, buffer, size, 0, (struct sockaddr *)&from, length);
        }
    }
}

/* As many answers as there are ends of requests. */
static void answer(int epoll, struct connection *connection, size_t size)
{
    static const char words[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";
    static char answers[BUFFER];
    size_t length = 0, one = sizeof words - 1;
    const char *end = buffer;

    while ((end = memmem(end, buffer + size - end, "\r\n\r\n", 4)) != NULL && length + one <= BUFFER) {
        memcpy(answers + length, words, one);
        length += one;
        end += 4;
    }
    pass_on(epoll, connection, answers, length);
}

static void serve(int http)
{
    struct connection listener = {.fd = bound(SOCK_STREAM)};
    struct epoll_event events[EVENTS];
    int epoll = epoll_create1(0);

    watch(epoll, EPOLL_CTL_ADD, &listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection == &listener) {
                int fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK);
                if (fd >= 0) {
                    struct connection *made = calloc(1, sizeof *made);
                    made->fd = fd;
                    no_delay(fd);
                    watch(epoll, EPOLL_CTL_ADD, made, EPOLLIN);
                }
            } else if (connection->kept) {
                ssize_t sent = send(connection->fd, connection->data, connection->kept, MSG_NOSIGNAL);
                if (sent > 0) {
                    connection->kept -= sent;
                    memmove(connection->data, connection->data + sent, connection->kept);
                    if (!connection->kept)
                        watch(epoll, EPOLL_CTL_MOD, connection, EPOLLIN);
                }
            } else {
                ssize_t size = recv(connection->fd, buffer, BUFFER, 0);
                if (size > 0 && http) {
                    answer(epoll, connection, size);
                } else if (size > 0) {
                    pass_on(epoll, connection, buffer, size);
                } else if (size == 0 || errno != EAGAIN) {
                    close(connection->fd);
                    free(connection->data);
                    free(connection);
                }
            }
        }
    }
}

/* Send what the socket takes of the message that is on its way. */
static void push(int epoll, struct connection *connection, const char *message, size_t size, int waits)
{
    while (connection->sent < size) {
        ssize_t sent = send(connection->fd, message + connection->sent, size - connection->sent, MSG_NOSIGNAL);
        if (sent < 0) {
            check(errno == EAGAIN, "send");
            if (!waits)
                watch(epoll, EPOLL_CTL_MOD, connection, EPOLLIN | EPOLLOUT);
            return;
        }
        connection->sent += sent;
    }
    if (waits)
        watch(epoll, EPOLL_CTL_MOD, connection, EPOLLIN);
}

static int by_size(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return difference > 0 ? 1 : difference < 0 ? -1 : 0;
}

static void begin(int epoll, struct connection *connection, const char *message, size_t size)
{
    connection->sent = connection->received = 0;
    connection->began = now();
    push(epoll, connection, message, size, 0);
}

static void converse(int epoll, struct connection *all, int connections, const char *message, size_t size, double seconds)
{
    struct epoll_event events[EVENTS];
    double end = now() + seconds;
    int busy = connections;
    long echoes = 0;

    for (int i = 0; i < connections; i++)
        begin(epoll, &all[i], message, size);
    while (busy) {
        int count = epoll_wait(epoll, events, EVENTS, PATIENCE);
        if (count == 0) {
            fprintf(stderr, "%d of %d messages are not back after %d s\n", busy, connections, PATIENCE / 1000);
            exit(1);
        }
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                push(epoll, connection, message, size, 1);
            if (!(events[i].events & EPOLLIN))
                continue;
            ssize_t got = recv(connection->fd, buffer, BUFFER, 0);
            if (got <= 0) {
                check(got < 0 && errno == EAGAIN, "the server closed a connection");
                continue;
            }
            connection->received += got;
            if (connection->received < size)
                continue;
            double after = now();
            samples[echoes++ % SAMPLES] = after - connection->began;
            if (after < end)
                begin(epoll, connection, message, size);
            else
                busy--;
        }
    }
    long kept = echoes < SAMPLES ? echoes : SAMPLES;
    qsort(samples, kept, sizeof *samples, by_size);
    printf("%ld %.1f %.1f\n", echoes, samples[kept / 2] * 1e6, samples[kept * 99 / 100] * 1e6);
    fflush(stdout);
}

static void talk(int type, int port, int connections, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct connection *all = calloc(connections, sizeof *all);
    char *message = malloc(size);
    int epoll = epoll_create1(0);
    double seconds;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(message, 'x', size);
    for (int i = 0; i < connections; i++) {
        all[i].fd = socket(AF_INET, type, 0);
        check(connect(all[i].fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
        if (type == SOCK_STREAM)
            no_delay(all[i].fd);
        check(fcntl(all[i].fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
        watch(epoll, EPOLL_CTL_ADD, &all[i], EPOLLIN);
    }
    while (scanf("%lf", &seconds) == 1)
        converse(epoll, all, connections, message, size, seconds);
}

int main(int count, char **words)
{
    int type = count > 2 && strcmp(words[2], "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;

    if (count == 3 && strcmp(words[1], "server") == 0) {
        if (type == SOCK_DGRAM)
            serve_datagrams();
        serve(strcmp(words[2], "http") == 0);
    } else if (count == 6 && strcmp(words[1], "client") == 0) {
        talk(type, atoi(words[3]), atoi(words[4]), strtoul(words[5], NULL, 10));
        return 0;
    }
    fprintf(stderr, "usage: echo server tcp|udp|http | echo client tcp|udp PORT CONNECTIONS SIZE\n");
    return 2;
}
