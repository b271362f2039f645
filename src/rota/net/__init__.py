"""What waits on file descriptors.

=============== ==========================================================================
``poller/``     who waits for which descriptor, and the system call that tells who is done
``waker``       ends the loop's sleep from another thread or a signal
``endpoint``    what all transports share
``transport``   bytes between a stream socket and a protocol
``datagram``    datagrams between a socket and a protocol
``tcp, unix``   connect and listen
``udp``         datagram endpoints
``binding``     local addresses
``server``      what listens, and the connections that it accepted
``tls``         TLS over a transport
``streams``     connections that a program reads and writes
``reader``      what came on a stream and was not read
``flow``        what a stream's protocol and writer do for every packet
``pipe``        pipes, FIFOs and terminals; ``pipes`` connects them
``sendfile``    files to sockets, copied by the kernel
``sock``        a program's own socket, awaited call by call
``line``        those who wait for one side of such a socket
``descriptors`` a program's own file descriptors, with callbacks
``eyeballs``    several connects at once
``dns``         names to addresses
``syscalls``    the few system calls that are made from C, with the same in plain Python
=============== ==========================================================================
"""
