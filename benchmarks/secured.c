/* The two ends of an echo over TLS without a runtime, as echo.c without TLS: OpenSSL between two pieces of memory.
 *
 *     secured server CERTIFICATE
 *         echoes on a port of 127.0.0.1, and prints it; the file holds the certificate and its key
 *     secured client PORT CONNECTIONS SIZE
 *         connects and shakes hands, and for each number of seconds that comes on stdin sends SIZE bytes on each
 *         connection, and again once they are back; when the time is over and the last are back it prints how many
 *         echoes came
 *
 * One thread, epoll, one recv for all records that have come, one send for all that were made of the answer. The server
 * is the floor that Python's are held to: whatever reads and writes by these calls takes their time at least.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, EVENTS = 512, PATIENCE = 10000 /* ms */ };

struct connection {
    int fd;
    SSL *ssl;
    size_t received; /* client: of the message that is on its way */
    size_t kept;     /* bytes that the kernel had no room for yet */
    char *data;
};

static char plain[BUFFER], incoming[BUFFER], outgoing[BUFFER];
static char *arrived;               /* what OpenSSL has not read of incoming ... */
static size_t arrived_size;
static size_t outgoing_size;        /* ... and what it has written of outgoing */

static void check(int good, const char *what)
{
    if (!good) {
        perror(what);
        ERR_print_errors_fp(stderr);
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

static int bio_read(BIO *bio, char *data, int size)
{
    BIO_clear_retry_flags(bio);
    if (!arrived_size) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if ((size_t)size > arrived_size)
        size = arrived_size;
    memcpy(data, arrived, size);
    arrived += size;
    arrived_size -= size;
    return size;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    (void)bio;
    check(outgoing_size + size <= BUFFER, "too long an answer");
    memcpy(outgoing + outgoing_size, data, size);
    outgoing_size += size;
    return size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static struct connection *made(SSL_CTX *context, int fd, int server)
{
    static BIO_METHOD *method;
    struct connection *connection = calloc(1, sizeof *connection);
    int yes = 1;
    BIO *bio;

    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "two pieces of memory");
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    bio = BIO_new(method);
    BIO_set_init(bio, 1);
    connection->fd = fd;
    connection->ssl = SSL_new(context);
    SSL_set_bio(connection->ssl, bio, bio);
    if (server)
        SSL_set_accept_state(connection->ssl);
    else
        SSL_set_connect_state(connection->ssl);
    return connection;
}

/* Send what is kept and the records that were made; keep what does not go. */
static void flush(int epoll, struct connection *connection)
{
    size_t size = connection->kept + outgoing_size;
    char *data = outgoing;
    ssize_t sent = 0;

    if (connection->kept) {
        data = connection->data = realloc(connection->data, size);
        memcpy(data + connection->kept, outgoing, outgoing_size);
    }
    outgoing_size = 0;
    if (size)
        sent = send(connection->fd, data, size, MSG_NOSIGNAL);
    if (sent < 0)
        sent = 0;
    size -= sent;
    if (size && !connection->data)
        connection->data = malloc(size);
    if (size)
        memmove(connection->data, data + sent, size);
    if (!size != !connection->kept)
        watch(epoll, EPOLL_CTL_MOD, connection, EPOLLIN | (size ? EPOLLOUT : 0));
    connection->kept = size;
    if (!size) {
        free(connection->data);
        connection->data = NULL;
    }
}

/* Read the plain bytes of what the kernel has; how many, or -1 at the end. */
static ssize_t take(struct connection *connection)
{
    ssize_t size = recv(connection->fd, incoming, BUFFER / 2, 0), taken = 0;

    if (size <= 0)
        return size < 0 && errno == EAGAIN ? 0 : -1;
    arrived = incoming;
    arrived_size = size;
    if (!SSL_is_init_finished(connection->ssl)) {
        int done = SSL_do_handshake(connection->ssl);
        check(done == 1 || SSL_get_error(connection->ssl, done) == SSL_ERROR_WANT_READ, "SSL_do_handshake");
    }
    while (SSL_is_init_finished(connection->ssl) && arrived_size) {
        int read = SSL_read(connection->ssl, plain + taken, BUFFER - taken);
        if (read <= 0)
            break;
        taken += read;
    }
    return taken;
}

static void serve(SSL_CTX *context)
{
    struct connection listener = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event events[EVENTS];
    socklen_t length = sizeof address;
    int epoll = epoll_create1(0);

    check(bind(listener.fd, (struct sockaddr *)&address, length) == 0, "bind");
    check(listen(listener.fd, 1024) == 0, "listen");
    check(getsockname(listener.fd, (struct sockaddr *)&address, &length) == 0, "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    watch(epoll, EPOLL_CTL_ADD, &listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection == &listener) {
                int fd = accept(listener.fd, NULL, NULL);
                check(fd >= 0, "accept");
                watch(epoll, EPOLL_CTL_ADD, made(context, fd, 1), EPOLLIN);
                continue;
            }
            ssize_t size = take(connection);
            if (size < 0) {
                close(connection->fd);
                SSL_free(connection->ssl);
                free(connection->data);
                free(connection);
                continue;
            }
            if (size)
                check(SSL_write(connection->ssl, plain, size) == size, "SSL_write");
            flush(epoll, connection);
        }
    }
}

/* The events of the next moment. */
static int next(int epoll, struct epoll_event *events)
{
    int count = epoll_wait(epoll, events, EVENTS, PATIENCE);
    if (count == 0) {
        fprintf(stderr, "the server said nothing for %d s\n", PATIENCE / 1000);
        exit(1);
    }
    return count;
}

static void begin(int epoll, struct connection *connection, const char *message, size_t size)
{
    connection->received = 0;
    check(SSL_write(connection->ssl, message, size) == (int)size, "SSL_write");
    flush(epoll, connection);
}

static void shake_hands(int epoll, int connections)
{
    struct epoll_event events[EVENTS];

    while (connections) {
        int count = next(epoll, events);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            int had_begun = !SSL_is_init_finished(connection->ssl);
            check(take(connection) >= 0, "the server closed a connection");
            flush(epoll, connection);
            connections -= had_begun && SSL_is_init_finished(connection->ssl);
        }
    }
}

static void converse(int epoll, struct connection **all, int connections, const char *message, size_t size, double seconds)
{
    struct epoll_event events[EVENTS];
    double end = now() + seconds;
    int busy = connections;
    long echoes = 0;

    for (int i = 0; i < connections; i++)
        begin(epoll, all[i], message, size);
    while (busy) {
        int count = next(epoll, events);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            ssize_t got = take(connection);
            check(got >= 0, "the server closed a connection");
            connection->received += got;
            if (!got || connection->received < size) {
                flush(epoll, connection);
                continue;
            }
            echoes++;
            if (now() < end)
                begin(epoll, connection, message, size);
            else
                busy--;
        }
    }
    printf("%ld\n", echoes);
    fflush(stdout);
}

static void talk(SSL_CTX *context, int port, int connections, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct connection **all = calloc(connections, sizeof *all);
    char *message = malloc(size);
    int epoll = epoll_create1(0);
    double seconds;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(message, 'x', size);
    for (int i = 0; i < connections; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        check(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
        all[i] = made(context, fd, 0);
        watch(epoll, EPOLL_CTL_ADD, all[i], EPOLLIN);
        SSL_do_handshake(all[i]->ssl);
        flush(epoll, all[i]);
    }
    shake_hands(epoll, connections);
    while (scanf("%lf", &seconds) == 1)
        converse(epoll, all, connections, message, size, seconds);
}

int main(int count, char **words)
{
    if (count == 3 && strcmp(words[1], "server") == 0) {
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());
        check(SSL_CTX_use_certificate_chain_file(context, words[2]) == 1, "the certificate");
        check(SSL_CTX_use_PrivateKey_file(context, words[2], SSL_FILETYPE_PEM) == 1, "the key");
        serve(context);
    } else if (count == 5 && strcmp(words[1], "client") == 0) {
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        talk(context, atoi(words[2]), atoi(words[3]), strtoul(words[4], NULL, 10));
        return 0;
    }
    fprintf(stderr, "usage: secured server CERTIFICATE | secured client PORT CONNECTIONS SIZE\n");
    return 2;
}
