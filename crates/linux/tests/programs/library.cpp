// Exceptions unwind, and the library finds its clocks, randomness and locale.
#include <chrono>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Guard {
	int &count;
	~Guard() { count++; }
};

int main()
{
	std::vector<int> numbers(1000000, 1);
	int unwound = 0;
	try {
		Guard guard{unwound};
		throw std::runtime_error("caught");
	} catch (const std::exception &error) {
		std::cout << error.what() << " " << numbers.size() << std::endl;
	}
	std::random_device device;
	std::mt19937_64 generator(device());
	std::map<std::string, double> values;
	for (int i = 0; i < 1000; i++)
		values[std::to_string(generator())] = i;
	auto start = std::chrono::steady_clock::now();
	std::ostringstream text;
	text << std::chrono::system_clock::now().time_since_epoch().count() << 1.5;
	bool good = unwound == 1 && values.size() == 1000 && text.str().size() > 10 &&
		    std::chrono::steady_clock::now() >= start;
	std::cout << (good ? "ok\n" : "bad\n");
}
