import { Controller, Get, Inject, NotFoundException } from '@nestjs/common';
import { STATE, type LoginPlace, type ServiceState } from './state.js';

/** Where people log in, which strangers must be told. */
@Controller('auth')
export class AuthController {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Get()
  place(): LoginPlace {
    if (!this.state.login) throw new NotFoundException();
    return this.state.login;
  }
}
