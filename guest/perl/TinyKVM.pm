package TinyKVM;

# TinyKVM guest programs in Perl.
#
#     use TinyKVM;
#     TinyKVM::serve(sub { my ($request) = @_; return "Hello $request->{url}" });
#
# What is done before serve() is done once; the process is then frozen, and every request finds it
# as it was at that moment. Needs no compiler: calls to the host go through Perl's syscall().

use overload ();
use strict;
use warnings;

use constant {
    WAIT_FOR_REQUESTS_PAUSED => 0x10002,
    BACKEND_RESPONSE         => 0x10010,
    HTTP_SET                 => 0x10021,
    HTTP_FIND                => 0x10022,
};

# Copies bytes from an address that the host gave.
sub bytes {
    my ($address, $length) = @_;
    return $length ? unpack("P$length", pack("J", $address)) : "";
}

# True inside a TinyKVM VM, false when the program was started by hand.
sub is_sandboxed { return exists $ENV{KVM_NAME} }

# The value of a header field of the request, or undef.
sub header {
    my ($name) = @_;
    my $room = "\0" x 65535;
    my $length = syscall(HTTP_FIND, 0, $name, length($name), $room, length($room));
    return undef if $length <= 0;
    my $value = substr($room, length($name) + 1, $length - length($name) - 1);
    $value =~ s/^ +//;
    return $value;
}

# Sets a header field of the answer: "Name: value".
sub set_header {
    my ($field) = @_;
    syscall(HTTP_SET, 1, $field, length($field));
    return;
}

# What the function returned, as status, content type and body.
sub checked {
    my @result = @_ == 1 ? (200, "text/html; charset=utf-8", @_) : @_;
    my @texts = grep { defined && (!ref || overload::Method($_, '""')) } @result;
    return @result if @result == 3 && @texts == 3 && $result[0] =~ /^[0-9]+\z/;
    my $returned = join ", ", map { defined ? "'$_'" : "undef" } @_;
    die "a body, or (status, content type, body), should be returned, not ($returned)\n";
}

# Says that the program is ready, and answers every request with what the function returns: a body,
# or (status, content type, body).
sub serve {
    my ($answer) = @_;
    for (;;) {
        # struct kvm_request of tinykvm_abi.h
        my $raw = "\0" x 112;
        syscall(WAIT_FOR_REQUESTS_PAUSED, $raw);
        my ($method, $url, $arg, $type, $method_len, $url_len, $arg_len, $type_len,
            $content, $content_len, undef, undef, undef, undef, $seed) = unpack("J4S4J3S2LJ", $raw);
        # The generator behind rand() was frozen with the rest.
        srand($seed & 0xffffffff);
        my %request = (
            method       => bytes($method, $method_len),
            url          => bytes($url, $url_len),
            argument     => bytes($arg, $arg_len),
            content_type => bytes($type, $type_len),
            body         => bytes($content, $content_len),
        );
        my @result = eval { checked($answer->(\%request)) };
        if ($@) {
            print STDERR $@;
            @result = (500, "text/plain", "Internal error");
        }
        my ($status, $kind, $body) = @result;
        utf8::encode($body) if utf8::is_utf8($body);
        # Numbers are passed as numbers, strings by address: what was used as both is copied.
        syscall(BACKEND_RESPONSE, $status + 0, "$kind", length($kind), "$body", length($body), 0);
    }
}

1;
