# Perl: regular expressions, hashes, sorting, sprintf, closures, eval, Digest::SHA, List::Util,
# Time::HiRes in every request.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use List::Util qw(sum max);
use POSIX ();
use Time::HiRes qw(clock_gettime CLOCK_REALTIME CLOCK_MONOTONIC);

use constant { REQUESTS => 100, ROUNDS => 10 };

my $requests = 0;

sub answer {
    my ($number) = @_;
    my $text = join " ", map { sprintf "%03d", ($_ * 7919 + $number) % 1000 } 1 .. 100;
    my %count;
    $count{$_}++ for $text =~ /(\d)/g;
    (my $swapped = $text) =~ s/(\d)(\d)(\d)/$3$2$1/g;
    my @sorted = sort { $b <=> $a } split " ", $swapped;
    my $error = eval { die { code => $number }; 1 } ? "none" : $@->{code};
    return sprintf "%s sum %d max %d error %s sha %s %s", join(",", map { "$_=$count{$_}" } sort keys %count),
        sum(@sorted), max(@sorted), $error, substr(sha256_hex($swapped), 0, 16), POSIX::floor($number / 7);
}

# 16 random bytes of the system.
sub urandom {
    open my $file, "<:raw", "/dev/urandom" or die "/dev/urandom: $!";
    sysread $file, my $bytes, 16;
    return unpack "H*", $bytes;
}

# The same by the system call getrandom.
sub nonce {
    my $bytes = "\0" x 16;
    syscall(318, $bytes, 16, 0) == 16 or die "getrandom: $!";
    return unpack "H*", $bytes;
}

sub uuid {
    my $path = "/proc/sys/kernel/random/uuid";
    open my $file, "<", $path or die "$path: $!";
    chomp(my $line = <$file>);
    return $line;
}

sub nanoseconds { return sprintf "%.0f", clock_gettime($_[0]) * 1e9 }

sub unique {
    return join "\n", "urandom " . urandom(), "nonce " . nonce(), "uuid " . uuid(), "random " . rand(),
        "monotonic " . nanoseconds(CLOCK_MONOTONIC), "realtime " . nanoseconds(CLOCK_REALTIME);
}

my $native = !exists $ENV{KVM_NAME};
for my $number (0 .. REQUESTS - 1) {
    my $text = answer($number);
    print "$text\n--\n" if $native;
}
if ($native) {
    my $begun = clock_gettime(CLOCK_MONOTONIC);
    answer($_ % REQUESTS) for 1 .. ROUNDS * REQUESTS;
    printf "ns %.0f\n", (clock_gettime(CLOCK_MONOTONIC) - $begun) * 1e9 / (ROUNDS * REQUESTS);
    exit;
}

require TinyKVM;
TinyKVM::serve(sub {
    my $url = $_[0]{url};
    $requests++;
    return unique() if $url eq "/unique";
    return "$requests" if $url eq "/count";
    return if $url eq "/nothing";
    return answer(substr $url, 1);
});
