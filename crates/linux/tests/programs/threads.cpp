// Threads of the C++ library.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <mutex>
#include <numeric>
#include <queue>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

static int compute(int number)
{
	if (number < 0)
		throw std::runtime_error("negative");
	std::vector<int> all(number);
	std::iota(all.begin(), all.end(), 1);
	return std::accumulate(all.begin(), all.end(), 0);
}

int main()
{
	std::vector<std::future<int>> results;
	for (int i = 0; i < 20; i++)
		results.push_back(std::async(std::launch::async, compute, i * 10));
	for (int i = 0; i < 20; i++)
		CHECK(results[i].get() == i * 10 * (i * 10 + 1) / 2);
	auto fails = std::async(std::launch::async, compute, -1);
	try {
		fails.get();
		CHECK(false);
	} catch (const std::runtime_error &error) {
		CHECK(error.what() == std::string("negative"));
	}

	std::queue<int> queue;
	std::mutex mutex;
	std::condition_variable filled;
	bool done = false;
	std::atomic<long> sum{0};
	std::vector<std::thread> workers;
	for (int i = 0; i < 8; i++)
		workers.emplace_back([&] {
			for (;;) {
				std::unique_lock lock(mutex);
				filled.wait(lock, [&] { return done || !queue.empty(); });
				if (queue.empty())
					return;
				int next = queue.front();
				queue.pop();
				lock.unlock();
				sum += next;
			}
		});
	for (int i = 1; i <= 1000; i++) {
		std::lock_guard lock(mutex);
		queue.push(i);
		filled.notify_one();
	}
	{
		std::lock_guard lock(mutex);
		done = true;
		filled.notify_all();
	}
	for (auto &worker : workers)
		worker.join();
	CHECK(sum == 500500);

	std::promise<void> never;
	auto future = never.get_future();
	CHECK(future.wait_for(std::chrono::milliseconds(10)) == std::future_status::timeout);
	std::timed_mutex timed;
	timed.lock();
	std::thread([&] { CHECK(!timed.try_lock_for(std::chrono::milliseconds(5))); }).join();
	static std::once_flag once;
	int calls = 0;
	for (int i = 0; i < 3; i++)
		std::call_once(once, [&] { calls++; });
	CHECK(calls == 1);
	puts("ok");
}
