// A Discord on loopback for the tests: a server with two channels and three people. Prints one
// JSON line about itself, then does what each line on its standard input asks and answers with one
// line. Ends when its input does.

import { createInterface } from 'node:readline'
import { ChannelType } from 'discord-api-types/v10'
import { DigitalDiscord } from 'discord-digital-twin'

const people = ['alice', 'bob', 'mallory']
const twin = new DigitalDiscord({
  guild: { name: 'Workshop' },
  channels: ['shop', 'docs'].map((name) => ({ name, type: ChannelType.GuildText })),
  users: people.map((username) => ({ username })),
  botUser: { username: 'taskloom' },
})
await twin.start()

const channels = await twin.prisma.channel.findMany()
const users = await twin.prisma.user.findMany()
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
say({
  rest: twin.restUrl,
  gateway: twin.gatewayUrl,
  token: twin.botToken,
  guild: twin.guildId,
  bot: twin.botUserId,
  channels: Object.fromEntries(channels.map((channel) => [channel.name, channel.id])),
  users: Object.fromEntries(users.map((user) => [user.username, user.id])),
})

const deeds = {
  write: ({ channel, user, text }) => twin.channel(channel).user(user).sendMessage({ content: text }),
  drop: ({ channel, user, message }) => twin.channel(channel).user(user).deleteMessage({ messageId: message }),
  close: ({ channel }) => twin.prisma.channel.delete({ where: { id: channel } }),
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line)
  try {
    say({ done: (await deeds[asked.deed](asked)) ?? null })
  } catch (error) {
    say({ failed: String(error) })
  }
}
await twin.stop()
process.exit(0)
